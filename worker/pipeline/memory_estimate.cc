#include "worker/pipeline/memory_estimate.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/status_macros.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

std::string Mebibytes(int64_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

int64_t Moments(OptimizerKind optimizer) { return optimizer == OptimizerKind::kSgd ? 1 : 2; }

// Of the attention or scores of one block: logit with its moments and gradient, attention and its
// gradient in double, scale and inner product as method and engine have them, whether it lives, and
// its place in a ranking.
constexpr int64_t kBytesPerBlock = 68;
// Of which a checkpoint has logit, moments and score.
constexpr int64_t kSavedBytesPerBlock = 16;

int64_t CountBlocks(const MemoryNeeds& needs) {
  int64_t blocks = 0;
  for (const auto& partition : needs.partitions) blocks += partition->block_count();
  for (const auto& group : needs.groups) blocks += group->count();
  return blocks;
}

int64_t BlockBytes(const MemoryNeeds& needs) {
  int64_t bytes = 0;
  for (const std::shared_ptr<const BlockPartition>& partition : needs.partitions) {
    // Single weights are summed by nobody twice.
    const bool shared = partition->block_count() < partition->layer().element_count();
    const int64_t sums = (shared ? needs.threads : 1) * (needs.clips_gradients ? 2 : 1);
    bytes +=
        partition->block_count() * (kBytesPerBlock + sums * static_cast<int64_t>(sizeof(float))) +
        static_cast<int64_t>(partition->runs()->runs.size() * sizeof(BlockRun));
  }
  for (const std::shared_ptr<const CandidateGroup>& group : needs.groups) {
    bytes += group->count() * kBytesPerBlock;
    for (const absl::Span<const CandidatePart> parts : {group->scaled(), group->coupled()}) {
      // Twice: by candidate, and by block of the weight.
      for (const CandidatePart& part : parts) {
        bytes += 2 * static_cast<int64_t>(part.runs.size() * sizeof(BlockRun));
      }
    }
  }
  return bytes;
}

int64_t Bytes(const InferredGraph& inferred, absl::Span<const std::string> names) {
  int64_t bytes = 0;
  for (const std::string& name : names) {
    const auto value = inferred.values.find(name);
    if (value == inferred.values.end()) continue;
    bytes +=
        value->second.shape.element_count() * static_cast<int64_t>(SizeOf(value->second.dtype));
  }
  return bytes;
}

}  // namespace

int64_t WeightBytes(const Graph& graph) {
  int64_t bytes = 0;
  for (const Initializer& initializer : graph.initializers) {
    bytes += static_cast<int64_t>(initializer.value.byte_size());
  }
  return bytes;
}

absl::StatusOr<MemoryEstimate> EstimateMemory(const Graph& graph, const MemoryNeeds& needs) {
  ASSIGN_OR_RETURN(const auto input_shapes, InputShapesForBatch(graph, needs.batch));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, input_shapes));
  MemoryEstimate estimate;
  estimate.data = needs.data_bytes;
  estimate.predictions = 3 * needs.prediction_bytes;  // As made, as array, as archive.
  estimate.calibration = needs.calibration_bytes;
  estimate.selection = needs.selector_bytes;
  const int64_t given = WeightBytes(graph);
  estimate.weights = 2 * given;  // As they came, and as the program reads them.
  if (needs.optimizer.has_value()) {
    estimate.weights += (1 + Moments(*needs.optimizer)) * given;
    estimate.checkpoint =
        (1 + Moments(*needs.optimizer)) * given + CountBlocks(needs) * kSavedBytesPerBlock;
    estimate.blocks = BlockBytes(needs);
    for (const bool one_more : {needs.keeps_a_model, needs.rewinds}) {
      if (!one_more) continue;
      estimate.weights += given;
      estimate.checkpoint += given;
    }
  }
  if (needs.teacher) estimate.weights += 2 * given;  // Likewise.
  int64_t inference = 0;
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    const int64_t written = Bytes(inferred, node.outputs);
    if (needs.optimizer.has_value()) estimate.activations += written;
    inference = std::max(inference, written + Bytes(inferred, node.inputs));
  }
  if (needs.teacher || !needs.optimizer.has_value()) estimate.activations += inference;
  return estimate;
}

absl::Status CheckMemoryLimit(const MemoryEstimate& estimate, int64_t limit_bytes) {
  if (limit_bytes == 0 || estimate.total() <= limit_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the job needs about ", Mebibytes(estimate.total()), " (examples ", Mebibytes(estimate.data),
      ", weights and optimizer ", Mebibytes(estimate.weights), ", state of blocks ",
      Mebibytes(estimate.blocks), ", writing a checkpoint ", Mebibytes(estimate.checkpoint),
      ", activations ", Mebibytes(estimate.activations), ", predictions ",
      Mebibytes(estimate.predictions), ", calibration ", Mebibytes(estimate.calibration),
      ", choice of features ", Mebibytes(estimate.selection), "), more than the ",
      Mebibytes(limit_bytes),
      " it may use: lower spec.task.batch_size, use less data, or a worker with more memory "
      "(spec.placement.memory_bytes)"));
}

}  // namespace topiary
