#include "worker/pipeline/model_size.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "worker/model/flops.h"
#include "worker/model/inference_form.h"
#include "worker/model/onnx_export.h"

namespace topiary {
namespace {

using Amount = SizeBudgetSpec::Amount;
using Partitions = std::vector<std::shared_ptr<const BlockPartition>>;

absl::StatusOr<int64_t> FileBytes(const Graph& graph, absl::Span<const KeptBlockCount> kept) {
  ASSIGN_OR_RETURN(const Graph inference, InferenceForm(graph));
  return BlockSparseFileBytes(inference, kept);
}

// How many elements the largest blocks of a layer have. Blocks come in few sizes.
class LargestBlocks {
 public:
  explicit LargestBlocks(const BlockPartition& partition) {
    for (int64_t block = 0; block < partition.block_count(); ++block) {
      ++blocks_by_size_[-partition.ElementsIn(block)];
    }
  }
  double Elements(int64_t kept) const {
    double elements = 0;
    for (const auto& [negative_size, count] : blocks_by_size_) {
      const int64_t taken = std::min(kept, count);
      elements -= static_cast<double>(negative_size) * static_cast<double>(taken);
      kept -= taken;
    }
    return elements;
  }

 private:
  std::map<int64_t, int64_t> blocks_by_size_;  // By falling size.
};

absl::Status AddFileBytes(const Graph& graph, const Partitions& partitions,
                          bool dense_layers_are_whole, SizeCosts* costs) {
  // All layers as blocks, none of which is pruned, have the longest header.
  std::vector<KeptBlockCount> all;
  double blocks = 0;
  for (const auto& partition : partitions) {
    const int64_t count = partition->block_count();
    all.push_back({partition, count});
    blocks += static_cast<double>(StoredBytes(*partition, count));
    costs->layers.emplace_back([partition, count, dense_layers_are_whole](int64_t kept) {
      const bool whole = dense_layers_are_whole && kept == count;
      const int64_t bytes =
          whole ? partition->layer().element_count() * static_cast<int64_t>(sizeof(float))
                : StoredBytes(*partition, kept);
      return static_cast<double>(bytes);
    });
  }
  ASSIGN_OR_RETURN(const int64_t longest, FileBytes(graph, all));
  costs->rest = static_cast<double>(longest) - blocks;
  ASSIGN_OR_RETURN(const int64_t dense, FileBytes(graph, {}));
  costs->dense = static_cast<double>(dense);
  return absl::OkStatus();
}

}  // namespace

int64_t ParametersOf(const Graph& graph) {
  int64_t count = 0;
  for (const Initializer& initializer : graph.initializers) {
    if (initializer.value.dtype() == DType::kFloat32) count += initializer.value.element_count();
  }
  return count;
}

absl::StatusOr<ModelSize> MeasureSize(const Graph& graph, absl::Span<const PrunedWeight> pruned) {
  ASSIGN_OR_RETURN(const Flops flops, CountFlops(graph));
  ModelSize size;
  size.parameters = ParametersOf(graph);
  double operations = flops.total;
  std::vector<KeptBlockCount> kept;
  for (const PrunedWeight& weight : pruned) {
    const int64_t elements = weight.partition->ElementsPruned(weight.support);
    size.parameters -= elements;
    const auto per_element = flops.per_element.find(weight.partition->layer().weight);
    if (per_element != flops.per_element.end()) {
      operations -= per_element->second * static_cast<double>(elements);
    }
    kept.push_back({weight.partition, LiveBlocks(weight.support)});
  }
  size.flops = WholeFlops(operations);
  ASSIGN_OR_RETURN(size.bytes, FileBytes(graph, kept));
  return size;
}

absl::StatusOr<ModelSize> SizeOfOnnx(const Graph& graph) {
  ModelSize size;
  ASSIGN_OR_RETURN(size.parameters, AmountOfOnnx(graph, Amount::kParameters));
  ASSIGN_OR_RETURN(size.bytes, AmountOfOnnx(graph, Amount::kBytes));
  ASSIGN_OR_RETURN(size.flops, AmountOfOnnx(graph, Amount::kFlops));
  return size;
}

absl::StatusOr<int64_t> AmountOfOnnx(const Graph& graph, Amount amount) {
  switch (amount) {
    case Amount::kParameters:
      return ParametersOf(graph);
    case Amount::kBytes:
      return OnnxBytes(graph);
    case Amount::kFlops:
      break;
  }
  ASSIGN_OR_RETURN(const Flops flops, CountFlops(graph));
  return WholeFlops(flops.total);
}

int64_t AmountOf(const ModelSize& size, Amount amount) {
  switch (amount) {
    case Amount::kParameters:
      return size.parameters;
    case Amount::kBytes:
      return size.bytes;
    case Amount::kFlops:
      return size.flops;
  }
  return 0;
}

absl::string_view AmountName(Amount amount) {
  switch (amount) {
    case Amount::kParameters:
      return "parameters";
    case Amount::kBytes:
      return "bytes";
    case Amount::kFlops:
      return "flops";
  }
  return "";
}

int64_t RequestedAmount(const SizeBudgetSpec& budget, int64_t dense) {
  if (!budget.ratio.has_value()) return budget.count;
  return static_cast<int64_t>(*budget.ratio * static_cast<double>(dense));
}

absl::StatusOr<SizeCosts> SizeCostsIn(Amount amount, const Graph& graph,
                                      const Partitions& partitions, bool dense_layers_are_whole) {
  SizeCosts costs;
  if (amount == Amount::kBytes) {
    RETURN_IF_ERROR(AddFileBytes(graph, partitions, dense_layers_are_whole, &costs));
    return costs;
  }
  Flops flops;
  if (amount == Amount::kFlops) {
    ASSIGN_OR_RETURN(flops, CountFlops(graph));
    costs.dense = flops.total;
  } else {
    costs.dense = static_cast<double>(ParametersOf(graph));
  }
  costs.rest = costs.dense;
  for (const auto& partition : partitions) {
    const PrunableLayer& layer = partition->layer();
    const double factor = amount == Amount::kFlops ? flops.per_element[layer.weight] : 1;
    costs.rest -= factor * static_cast<double>(layer.element_count());
    costs.layers.emplace_back([factor, blocks = LargestBlocks(*partition)](int64_t kept) {
      return factor * blocks.Elements(kept);
    });
  }
  return costs;
}

}  // namespace topiary
