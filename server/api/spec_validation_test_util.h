// What tests of the spec's validation share.
#ifndef TOPIARY_SERVER_API_SPEC_VALIDATION_TEST_UTIL_H_
#define TOPIARY_SERVER_API_SPEC_VALIDATION_TEST_UTIL_H_

#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/api/spec_validation.h"

namespace topiary {

inline std::string Digest(char digit) { return std::string(64, digit); }

// The shortest useful spec.
inline v1::CompressionSpec ShortestSpec() {
  v1::CompressionSpec spec;
  auto* file = spec.mutable_model()->add_files();
  file->set_path("model.onnx");
  file->set_digest(Digest('a'));
  spec.mutable_data()->mutable_train()->mutable_npz()->set_digest(Digest('b'));
  spec.mutable_target()->set_sparsity(0.9);
  return spec;
}

// `patch`, in text format, merged into it (a digit repeated stands for nothing: digests are real).
inline v1::CompressionSpec PatchedSpec(const char* patch) {
  v1::CompressionSpec spec = ShortestSpec();
  v1::CompressionSpec parsed;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(patch, &parsed));
  spec.MergeFrom(parsed);
  return spec;
}

inline std::vector<std::string> PathsRefused(const v1::CompressionSpec& spec) {
  FieldViolations violations;
  ValidateSpec(spec, "spec", &violations);
  std::vector<std::string> paths;
  for (const FieldViolation& violation : violations.violations()) {
    EXPECT_FALSE(violation.description.empty());
    paths.push_back(violation.field);
  }
  return paths;
}

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SPEC_VALIDATION_TEST_UTIL_H_
