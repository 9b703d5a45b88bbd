#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/api/spec_validation.h"

// Sweeps: what their lists may hold, and how a child that is wrong is told.
namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A model and data, and `text`.
v1::CompressionSpec SpecWith(const std::string& text) {
  v1::CompressionSpec spec;
  auto* file = spec.mutable_model()->add_files();
  file->set_path("model.onnx");
  file->set_digest(std::string(64, 'a'));
  spec.mutable_data()->mutable_train()->mutable_npz()->set_digest(std::string(64, 'b'));
  EXPECT_TRUE(google::protobuf::TextFormat::MergeFromString(text, &spec)) << text;
  return spec;
}

std::vector<FieldViolation> Refused(const v1::CompressionSpec& spec) {
  FieldViolations violations;
  ValidateSpec(spec, "spec", &violations);
  return violations.violations();
}

std::vector<std::string> PathsRefused(const std::string& text) {
  std::vector<std::string> paths;
  for (const FieldViolation& violation : Refused(SpecWith(text))) paths.push_back(violation.field);
  return paths;
}

TEST(SweepValidation, ASweepOverEverythingIsAccepted) {
  EXPECT_THAT(PathsRefused(R"(
      sweep { methods { magnitude { one_shot {} } } methods { magnitude { gradual {} } }
              methods { sequential_attention_pp {} }
              blocks { rows: 8 cols: 8 } blocks { rows: 1 cols: 16 }
              sparsities: 0.8 sparsities: 0.9 seeds: 0 seeds: 1 seeds: 2 })"),
              IsEmpty());
  EXPECT_THAT(PathsRefused("dense {} sweep { seeds: 0 seeds: 1 }"), IsEmpty());
  EXPECT_THAT(PathsRefused("target { latency { ratio: 0.5 } } dry_run: true "
                           "sweep { blocks { rows: 8 cols: 8 } blocks { rows: 4 cols: 4 } }"),
              IsEmpty());
}

struct RefusedCase {
  const char* name;
  const char* spec;
  const char* path;
};

class RefusedSweep : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedSweep, IsRefusedWithThePath) {
  EXPECT_THAT(PathsRefused(GetParam().spec), ElementsAre(GetParam().path));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RefusedSweep,
    testing::Values(
        RefusedCase{"empty", "target { sparsity: 0.9 } sweep {}", "spec.sweep"},
        RefusedCase{"one_child", "sweep { sparsities: 0.9 }", "spec.sweep"},
        RefusedCase{"sparsity_range", "sweep { sparsities: 0.9 sparsities: 1 }",
                    "spec.sweep.sparsities[1]"},
        RefusedCase{"sparsity_not_finite", "sweep { sparsities: 0.9 sparsities: nan }",
                    "spec.sweep.sparsities[1]"},
        RefusedCase{"sparsity_twice", "sweep { sparsities: 0.9 sparsities: 0.8 sparsities: 0.9 }",
                    "spec.sweep.sparsities[2]"},
        RefusedCase{"sparsity_beside", "target { sparsity: 0.5 } sweep { sparsities: [0.8, 0.9] }",
                    "spec.target.sparsity"},
        RefusedCase{"latency_beside",
                    "target { latency { ratio: 0.5 } } sweep { sparsities: [0.8, 0.9] }",
                    "spec.target.latency"},
        RefusedCase{"no_sparsity", "sweep { seeds: [1, 2] }", "spec.target.sparsity"},
        RefusedCase{"seed_twice", "target { sparsity: 0.9 } sweep { seeds: [1, 1] }",
                    "spec.sweep.seeds[1]"},
        RefusedCase{"seed_beside",
                    "target { sparsity: 0.9 } task { seed: 0 } sweep { seeds: [1, 2] }",
                    "spec.task.seed"},
        RefusedCase{
            "block_zero",
            "target { sparsity: 0.9 } sweep { blocks { rows: 8 cols: 8 } blocks { rows: 4 } }",
            "spec.sweep.blocks[1].cols"},
        RefusedCase{"block_twice",
                    "target { sparsity: 0.9 } "
                    "sweep { blocks { rows: 8 cols: 8 } blocks { rows: 8 cols: 8 } }",
                    "spec.sweep.blocks[1]"},
        RefusedCase{"block_beside",
                    "target { sparsity: 0.9 block_cols: 4 } "
                    "sweep { blocks { rows: 8 cols: 8 } blocks { rows: 4 cols: 8 } }",
                    "spec.target.block_cols"},
        RefusedCase{"method_beside",
                    "target { sparsity: 0.9 } rigl {} "
                    "sweep { methods { magnitude {} } methods { snip {} } }",
                    "spec.rigl"},
        RefusedCase{"method_twice",
                    "target { sparsity: 0.9 } "
                    "sweep { methods { snip {} } methods { snip {} } }",
                    "spec.sweep.methods[1]"},
        RefusedCase{"method_twice_by_its_defaults",
                    "target { sparsity: 0.9 } "
                    "sweep { methods { magnitude {} } methods { magnitude { gradual {} } } }",
                    "spec.sweep.methods[1]"},
        RefusedCase{"no_method",
                    "target { sparsity: 0.9 } sweep { methods { snip {} } methods {} }",
                    "spec.sweep.methods[1]"},
        RefusedCase{"more_than_a_method",
                    "target { sparsity: 0.9 } "
                    "sweep { methods { snip {} } methods { rigl {} priority: 1 } }",
                    "spec.sweep.methods[1]"},
        RefusedCase{"a_sweep_in_a_sweep",
                    "target { sparsity: 0.9 } "
                    "sweep { methods { snip {} } methods { rigl {} sweep { seeds: [1, 2] } } }",
                    "spec.sweep.methods[1]"},
        RefusedCase{"method_makes_no_model",
                    "target { sparsity: 0.9 } "
                    "sweep { methods { snip {} } methods { evaluate {} } }",
                    "spec.sweep.methods[1].evaluate"},
        RefusedCase{"evaluate", "evaluate {} sweep { seeds: [1, 2] }", "spec.evaluate"},
        RefusedCase{"bad_method",
                    "target { sparsity: 0.9 } "
                    "sweep { methods { snip {} } methods { rigl { drop_fraction: 2 } } "
                    "        seeds: [1, 2, 3] }",
                    "spec.sweep.methods[1].rigl.drop_fraction"},
        RefusedCase{"bad_for_all",
                    "target { sparsity: 0.9 } priority: 1000 sweep { seeds: [1, 2] }",
                    "spec.priority"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SweepValidation, AWrongCombinationIsToldByItsEntries) {
  const auto refused = Refused(SpecWith(
      "target { sparsity: 0.9 } sweep { methods { snip {} } methods { dense {} } seeds: [4, 5] }"));
  ASSERT_FALSE(refused.empty());
  EXPECT_EQ(refused[0].field, "spec.target");
  EXPECT_THAT(refused[0].description, HasSubstr("with sweep.methods[1], seeds[0]"));
}

TEST(SweepValidation, WhatIsWrongWithEveryChildIsToldOnce) {
  const auto refused =
      Refused(SpecWith("target { sparsity: 0.9 min_blocks: -1 } sweep { seeds: [1, 2, 3, 4] }"));
  ASSERT_EQ(refused.size(), 1);
  EXPECT_EQ(refused[0].field, "spec.target.min_blocks");
  EXPECT_THAT(refused[0].description, testing::Not(HasSubstr("with sweep")));
}

TEST(SweepValidation, ThereAreAtMostAThousandChildren) {
  v1::CompressionSpec spec = SpecWith("sweep { sparsities: [0.8, 0.9] }");
  for (int seed = 0; seed < 500; ++seed) spec.mutable_sweep()->add_seeds(seed);
  EXPECT_THAT(Refused(spec), IsEmpty());
  spec.mutable_sweep()->add_seeds(500);
  const auto refused = Refused(spec);
  ASSERT_EQ(refused.size(), 1);
  EXPECT_EQ(refused[0].field, "spec.sweep");
  EXPECT_THAT(refused[0].description, HasSubstr("1002"));
}

TEST(SweepValidation, AllSpecsTogetherAreBounded) {
  v1::CompressionSpec spec = SpecWith("target { sparsity: 0.9 }");
  for (int i = 0; i < 500; ++i) spec.mutable_target()->add_include_layers(std::string(200, 'x'));
  for (int seed = 0; seed < 100; ++seed) spec.mutable_sweep()->add_seeds(seed);
  EXPECT_THAT(Refused(spec), IsEmpty());
  for (int seed = 100; seed < 200; ++seed) spec.mutable_sweep()->add_seeds(seed);
  const auto refused = Refused(spec);
  ASSERT_EQ(refused.size(), 1);
  EXPECT_THAT(refused[0].description, HasSubstr("16 MiB"));
}

}  // namespace
}  // namespace topiary
