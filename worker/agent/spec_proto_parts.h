#ifndef TOPIARY_WORKER_AGENT_SPEC_PROTO_PARTS_H_
#define TOPIARY_WORKER_AGENT_SPEC_PROTO_PARTS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "topiary/v1/spec.pb.h"
#include "worker/pipeline/job_spec.h"

// The parts of ConvertSpec(). Only for spec_proto*.cc.
namespace topiary {

// INVALID_ARGUMENT: `field` has a value of a later version.
absl::Status UnknownValue(absl::string_view field);

absl::StatusOr<MetricSpec> ConvertMetric(int metric);

absl::StatusOr<MethodSpec> ConvertMethod(const v1::CompressionSpec& spec);
absl::StatusOr<FeatureSelectionSpec> ConvertFeatureSelection(const v1::CompressionSpec& spec);

absl::StatusOr<PruningTargetSpec> ConvertTarget(const v1::PruningTarget& target);
// Whether blocks of weights are pruned, and not a structure.
bool PrunesBlocks(const v1::CompressionSpec& spec);

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_SPEC_PROTO_PARTS_H_
