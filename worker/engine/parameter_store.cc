#include "worker/engine/parameter_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

// Every parameter starts at a multiple of 64 bytes.
constexpr int64_t kGranule = 16;

int64_t Extent(int64_t size) { return (size + kGranule - 1) / kGranule * kGranule; }

absl::Status CheckCover(const BlockRuns& runs, int64_t size, absl::string_view name) {
  std::vector<bool> covered(size, false);
  int64_t count = 0;
  for (const BlockRun& run : runs.runs) {
    const int64_t end = run.At(int64_t{run.length} - 1);
    if (run.offset < 0 || run.length < 1 || run.stride < 1 || end >= size || run.block < 0 ||
        run.block_step < 0 || run.BlockOf(int64_t{run.length} - 1) >= runs.block_count) {
      return absl::InvalidArgumentError(
          absl::StrCat("blocks of '", std::string(name), "': a run leaves the tensor"));
    }
    for (int64_t i = run.offset; i <= end; i += run.stride) {
      if (covered[i]) {
        return absl::InvalidArgumentError(
            absl::StrCat("blocks of '", std::string(name), "': element ", i, " is in two blocks"));
      }
      covered[i] = true;
      ++count;
    }
  }
  if (count == size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("blocks of '", std::string(name), "' cover ", count, " of ", size, " elements"));
}

absl::StatusOr<const Initializer*> MatchingInitializer(const Graph& graph,
                                                       const Parameter& parameter) {
  const Initializer* initializer = graph.FindInitializer(parameter.name);
  if (initializer == nullptr) {
    return absl::NotFoundError(absl::StrCat("the graph has no initializer '", parameter.name, "'"));
  }
  if (initializer->value.dtype() != DType::kFloat32 ||
      initializer->value.shape() != parameter.shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "initializer '", parameter.name, "' is ",
        std::string(DTypeName(initializer->value.dtype())), initializer->value.shape().ToString(),
        ", not float32", parameter.shape.ToString()));
  }
  return initializer;
}

Parameter NewParameter(const std::string& name, const Shape& shape, bool trainable) {
  Parameter parameter;
  parameter.name = name;
  parameter.shape = shape;
  parameter.size = shape.element_count();
  parameter.trainable = trainable;
  return parameter;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ParameterStore>> ParameterStore::Make(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& tables,
    Backend* backend, StorePurpose purpose) {
  if (!backend->host_accessible()) {
    return absl::UnimplementedError("the parameter store needs memory that the host can access");
  }
  std::unique_ptr<ParameterStore> store(new ParameterStore(backend));
  for (const std::string& name : inferred.parameters) {
    store->parameters_.push_back(NewParameter(name, inferred.values.at(name).shape, true));
    if (tables.count(name) > 0) {
      store->parameters_.back().rows = std::make_shared<EmbeddingRows>();
    }
  }
  for (const std::string& name : inferred.statistics) {
    store->parameters_.push_back(NewParameter(name, inferred.values.at(name).shape, false));
  }
  for (size_t i = 0; i < store->parameters_.size(); ++i) {
    if (!store->index_.insert({store->parameters_[i].name, i}).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("initializer '", store->parameters_[i].name,
                       "' is used both as a parameter and as a running statistic"));
    }
  }
  RETURN_IF_ERROR(store->Allocate(purpose));
  RETURN_IF_ERROR(store->LoadFrom(graph));
  return store;
}

absl::StatusOr<std::unique_ptr<ParameterStore>> ParameterStore::Create(
    const Graph& graph, const InferredGraph& inferred, Backend* backend, StorePurpose purpose) {
  return Make(graph, inferred, {}, backend, purpose);
}

absl::StatusOr<std::unique_ptr<ParameterStore>> ParameterStore::CreateWithTables(
    const Graph& graph, const std::set<std::string>& tables, Backend* backend) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  return Make(graph, inferred, tables, backend, StorePurpose::kTraining);
}

absl::StatusOr<std::unique_ptr<ParameterStore>> ParameterStore::Create(const Graph& graph,
                                                                       Backend* backend,
                                                                       StorePurpose purpose) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  return Create(graph, inferred, backend, purpose);
}

absl::Status ParameterStore::Allocate(StorePurpose purpose) {
  int64_t trainable = 0, fixed = 0;
  for (const Parameter& parameter : parameters_) {
    if (parameter.rows != nullptr) continue;
    (parameter.trainable ? trainable : fixed) += Extent(parameter.size);
  }
  const auto allocate = [&](int64_t count) -> absl::StatusOr<float*> {
    ASSIGN_OR_RETURN(Buffer buffer, backend_->Allocate(count * sizeof(float)));
    buffers_.push_back(std::move(buffer));
    return static_cast<float*>(buffers_.back().data());
  };
  ASSIGN_OR_RETURN(values_, allocate(trainable));
  if (purpose == StorePurpose::kTraining) {
    ASSIGN_OR_RETURN(gradients_, allocate(trainable));
  }
  ASSIGN_OR_RETURN(float* statistics, allocate(fixed));
  trainable_extent_ = static_cast<size_t>(trainable);
  int64_t offset = 0;
  for (Parameter& parameter : parameters_) {
    if (parameter.rows != nullptr) {
      ASSIGN_OR_RETURN(parameter.value, allocate(parameter.size));
      EmbeddingRows& table = *parameter.rows;
      table.rows = parameter.shape[0];
      table.width = parameter.shape[1];
      table.value = parameter.value;
      table.applied.assign(table.rows, 0);
      table.place_of_row.assign(table.rows, -1);
    } else if (parameter.trainable) {
      parameter.value = values_ + offset;
      if (gradients_ != nullptr) parameter.gradient = gradients_ + offset;
      offset += Extent(parameter.size);
    } else {
      parameter.value = statistics;
      statistics += Extent(parameter.size);
    }
    parameter.effective = parameter.value;
  }
  return absl::OkStatus();
}

const Parameter* ParameterStore::Find(absl::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &parameters_[found->second];
}

absl::Status ParameterStore::Reparameterize(absl::string_view name,
                                            std::shared_ptr<const BlockRuns> runs) {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    return absl::NotFoundError(absl::StrCat("no parameter '", std::string(name), "'"));
  }
  Parameter& parameter = parameters_[found->second];
  if (frozen_ || parameter.runs != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("'", parameter.name, "' can be reparameterized only once, and before ",
                     "programs and optimizers are built"));
  }
  if (!parameter.trainable || parameter.rows != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", parameter.name, "' is a running statistic or a table, not a weight"));
  }
  RETURN_IF_ERROR(CheckCover(*runs, parameter.size, parameter.name));
  const auto allocate = [&](int64_t count) -> absl::StatusOr<float*> {
    ASSIGN_OR_RETURN(Buffer buffer, backend_->Allocate(count * sizeof(float)));
    buffers_.push_back(std::move(buffer));
    return static_cast<float*>(buffers_.back().data());
  };
  ASSIGN_OR_RETURN(float* effective, allocate(parameter.size));
  ASSIGN_OR_RETURN(parameter.block_scale, allocate(runs->block_count));
  ASSIGN_OR_RETURN(parameter.block_inner_product, allocate(runs->block_count));
  std::fill_n(parameter.block_scale, runs->block_count, 1.0f);
  std::copy_n(parameter.value, parameter.size, effective);
  parameter.effective = effective;
  parameter.runs = std::move(runs);
  return absl::OkStatus();
}

absl::Status ParameterStore::LoadFrom(const Graph& graph) {
  std::vector<const Initializer*> initializers;
  for (const Parameter& parameter : parameters_) {
    ASSIGN_OR_RETURN(const Initializer* initializer, MatchingInitializer(graph, parameter));
    if (!initializer->value.has_elements()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the elements of initializer '", parameter.name, "' were dropped"));
    }
    initializers.push_back(initializer);
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = parameters_[i];
    const float* values = initializers[i]->value.data<float>();
    std::copy_n(values, parameter.size, parameter.value);
    if (parameter.runs == nullptr) continue;
    std::copy_n(values, parameter.size, parameter.effective);
    std::fill_n(parameter.block_scale, parameter.runs->block_count, 1.0f);
  }
  MarkChanged();
  return absl::OkStatus();
}

absl::Status ParameterStore::DropWeightsOf(Graph* graph) const {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(*graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(*graph, shapes));
  const std::set<int> live(inferred.live_nodes.begin(), inferred.live_nodes.end());
  // Other nodes may be folded, for which their operands are read whenever shapes are inferred.
  std::set<std::string> read;
  for (size_t i = 0; i < graph->nodes.size(); ++i) {
    const Node& node = graph->nodes[i];
    const bool product = node.op_type == "Gemm" || node.op_type == "MatMul" ||
                         node.op_type == "Conv" || node.op_type == "Gather" ||
                         node.op_type == "Transpose";
    if (product && live.count(static_cast<int>(i)) > 0) continue;
    read.insert(node.inputs.begin(), node.inputs.end());
  }
  for (const ValueInfo& output : graph->outputs) read.insert(output.name);
  for (Initializer& initializer : graph->initializers) {
    const Parameter* parameter = Find(initializer.name);
    if (parameter == nullptr || !parameter->trainable || read.count(initializer.name) > 0) continue;
    initializer.value.DropElements();
  }
  return absl::OkStatus();
}

absl::Status ParameterStore::WriteTo(Graph* graph) const {
  for (const Parameter& parameter : parameters_) {
    RETURN_IF_ERROR(MatchingInitializer(*graph, parameter).status());
  }
  for (const Parameter& parameter : parameters_) {
    Tensor tensor(DType::kFloat32, parameter.shape);
    std::copy_n(parameter.effective, parameter.size, tensor.data<float>());
    RETURN_IF_ERROR(graph->ReplaceInitializer(parameter.name, std::move(tensor)));
  }
  return absl::OkStatus();
}

}  // namespace topiary
