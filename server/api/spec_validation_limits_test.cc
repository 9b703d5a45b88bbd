// What no spec may have too much of, or at all.
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/api/spec_validation_test_util.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST(SpecValidation, AnUnknownFieldIsRefusedAndNotIgnored) {
  v1::CompressionSpec spec = ShortestSpec();
  v1::Task* task = spec.mutable_task();
  v1::Task::GetReflection()->MutableUnknownFields(task)->AddVarint(77, 1);
  EXPECT_THAT(PathsRefused(spec), ElementsAre("spec.task.77"));
}

TEST(SpecValidation, ASpecThatIsTooLargeIsRefusedWhole) {
  v1::CompressionSpec spec = ShortestSpec();
  for (int i = 0; i < 1000; ++i) {
    spec.mutable_target()->add_include_layers(std::string(255, 'x'));
    spec.mutable_target()->add_exclude_layers(std::string(255, 'x'));
  }
  EXPECT_THAT(PathsRefused(spec), ElementsAre("spec"));
}

TEST(SpecValidation, TooManyOfAKindAreRefused) {
  v1::CompressionSpec spec = ShortestSpec();
  for (int i = 0; i < 65; ++i) {
    auto* file = spec.mutable_model()->add_files();
    file->set_path(absl::StrCat("part", i));
    file->set_digest(Digest('c'));
    file->set_main(i == 0);
    (*spec.mutable_labels())[absl::StrCat("label", i)] = "x";
  }
  for (int i = 0; i < 1001; ++i) spec.mutable_target()->add_include_layers("x");
  EXPECT_THAT(PathsRefused(spec), testing::IsSupersetOf({"spec.model.files", "spec.labels",
                                                         "spec.target.include_layers"}));
}

TEST(SpecValidation, OnlyTheFirstViolationsAreListedSoThatAnAnswerFitsIntoTrailers) {
  v1::CompressionSpec spec = ShortestSpec();
  for (int i = 0; i < 1000; ++i) spec.mutable_target()->add_include_layers("");
  FieldViolations violations;
  ValidateSpec(spec, "spec", &violations);
  EXPECT_THAT(violations.violations(), SizeIs(FieldViolations::kMax));
  EXPECT_THAT(std::string(violations.ToStatus().message()),
              testing::HasSubstr("and 999 other fields"));
}

}  // namespace
}  // namespace topiary
