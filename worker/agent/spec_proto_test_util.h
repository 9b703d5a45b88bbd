// What tests of the conversion of specs share.
#ifndef TOPIARY_WORKER_AGENT_SPEC_PROTO_TEST_UTIL_H_
#define TOPIARY_WORKER_AGENT_SPEC_PROTO_TEST_UTIL_H_

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "worker/agent/spec_proto.h"

namespace topiary {

inline const std::string kA(64, 'a');
inline const std::string kB(64, 'b');
inline const std::string kC(64, 'c');

template <typename Options>
const Options& MethodOf(const JobSpec& job) {
  return std::get<Options>(std::get<MethodOptions>(job.method));
}

inline v1::CompressionSpec Parse(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec));
  return spec;
}

// A spec as the coordinator sends it, with what most tests do not care for.
inline v1::CompressionSpec Complete(const std::string& more) {
  v1::CompressionSpec spec = Parse(more);
  spec.mutable_model()->add_files()->set_path("model.onnx");
  spec.mutable_model()->mutable_files(0)->set_digest(kA);
  if (!spec.data().has_train()) spec.mutable_data()->mutable_train()->mutable_npz()->set_digest(kB);
  v1::Task* task = spec.mutable_task();
  if (task->loss() == 0) task->set_loss(v1::Task::CROSS_ENTROPY);
  if (task->batch_size() == 0) task->set_batch_size(32);
  if (spec.method_case() == 0) spec.mutable_dense();
  if (spec.has_evaluate()) return spec;
  if (task->length_case() == 0) task->set_epochs(2);
  if (task->optimizer().kind_case() == 0) task->mutable_optimizer()->mutable_sgd();
  if (task->learning_rate().schedule_case() == 0) {
    task->mutable_learning_rate()->mutable_cosine();
  }
  return spec;
}

inline absl::StatusOr<JobSpec> Convert(const v1::CompressionSpec& spec) {
  return ConvertSpec(spec, "/m/model.onnx", {{kB, "/c/b"}, {kC, "/c/c"}}, 2);
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_SPEC_PROTO_TEST_UTIL_H_
