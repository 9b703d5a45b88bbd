#include "worker/engine/inference_program.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/batch_independence.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

// Bytes that a node reads and writes of activations, for its results to be in a cache when the next
// one reads them.
constexpr int64_t kCacheBytes = int64_t{2} << 20;

// The most bytes of activations that a node reads and writes.
int64_t LargestWorkingSet(const Graph& graph, const InferredGraph& inferred) {
  std::set<std::string> activations;
  for (const ValueInfo& input : graph.inputs) activations.insert(input.name);
  for (const int index : inferred.live_nodes) activations.insert(graph.nodes[index].output(0));
  int64_t largest = 0;
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    std::set<std::string> touched(node.inputs.begin(), node.inputs.end());
    touched.insert(node.output(0));
    int64_t bytes = 0;
    for (const std::string& name : touched) {
      if (activations.count(name) == 0) continue;
      const ValueType& type = inferred.values.at(name);
      bytes += type.shape.element_count() * static_cast<int64_t>(SizeOf(type.dtype));
    }
    largest = std::max(largest, bytes);
  }
  return largest;
}

// The largest divisor of `batch` of which so many examples fit the caches; at least 1.
int64_t ExamplesThatFit(int64_t batch, int64_t working_set) {
  const int64_t most =
      std::max<int64_t>(1, kCacheBytes / std::max<int64_t>(1, working_set / batch));
  for (int64_t examples = std::min(batch, most); examples > 1; --examples) {
    if (batch % examples == 0) return examples;
  }
  return 1;
}

absl::StatusOr<InferredGraph> InferFor(const Graph& graph, int64_t batch) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, batch));
  return InferShapes(graph, shapes);
}

// How many run through `graph` together.
absl::StatusOr<int64_t> ExamplesAtOnce(const Graph& graph, const InferenceOptions& options) {
  const int64_t asked = options.examples_at_once;
  if (asked < 0 || (asked > 0 && options.batch % asked != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(asked, " examples at once do not divide a batch of ", options.batch));
  }
  if (options.batch < 2 || asked == options.batch) return options.batch;
  ASSIGN_OR_RETURN(const InferredGraph whole, InferFor(graph, options.batch));
  const int64_t examples =
      asked > 0 ? asked : ExamplesThatFit(options.batch, LargestWorkingSet(graph, whole));
  if (examples == options.batch) return examples;
  const absl::StatusOr<InferredGraph> part = InferFor(graph, examples);
  if (part.ok() && ExamplesAreIndependent(graph, {whole, options.batch}, {*part, examples})) {
    return examples;
  }
  if (asked == 0) return options.batch;
  return absl::InvalidArgumentError(absl::StrCat(
      "the examples of a batch depend on one another, or cannot be told apart: ", asked, " of ",
      options.batch, " cannot run at once"));
}

// Copies part `index` of the whole batch into `part`, or back.
void CopyPart(const StagedTensor& whole, const StagedTensor& part, int64_t index, bool out) {
  auto* of_whole = static_cast<char*>(whole.data) + static_cast<size_t>(index) * part.bytes();
  if (out) {
    std::memcpy(of_whole, part.data, part.bytes());
  } else {
    std::memcpy(part.data, of_whole, part.bytes());
  }
}

}  // namespace

absl::StatusOr<BatchParts> InferenceProgram::PartsOf(const Graph& graph,
                                                     const InferenceOptions& options, int threads) {
  ASSIGN_OR_RETURN(const int64_t examples, ExamplesAtOnce(graph, options));
  BatchParts result{examples, options.batch / examples, threads};
  // With fewer than three quarters of the threads at work, all of them on each part do better.
  const int64_t turns = result.parts_of_a_lane() * threads;
  if (result.parts < threads || 4 * result.parts < 3 * turns) result.lanes = 1;
  return result;
}

absl::StatusOr<std::unique_ptr<InferenceProgram>> InferenceProgram::Build(
    const Graph& graph, ParameterStore* store, Backend* backend, const InferenceOptions& options) {
  ASSIGN_OR_RETURN(const BatchParts parts, PartsOf(graph, options, backend->info().threads));
  ProgramOptions program_options;
  program_options.mode = ProgramMode::kInference;
  program_options.sparse_weights = options.sparse_weights;
  program_options.batch = parts.examples;
  std::unique_ptr<InferenceProgram> result(new InferenceProgram(backend, parts));
  RETURN_IF_ERROR(result->BuildLanes(graph, store, std::move(program_options)));
  RETURN_IF_ERROR(result->Allocate());
  return result;
}

absl::Status InferenceProgram::BuildLanes(const Graph& graph, ParameterStore* store,
                                          ProgramOptions options) {
  while (static_cast<int>(lanes_.size()) < parts_.lanes) {
    Lane lane;
    lane.backend = parts_.OwnBackendOfALane(*backend_);
    Backend* const backend = lane.backend == nullptr ? backend_ : lane.backend.get();
    ASSIGN_OR_RETURN(lane.program, Program::Build(graph, store, backend, options));
    lanes_.push_back(std::move(lane));
    options.weights_of = lanes_.front().program.get();
  }
  return absl::OkStatus();
}

absl::Status InferenceProgram::Allocate() {
  const Program& program = *lanes_.front().program;
  for (const bool is_output : {false, true}) {
    const auto parts = is_output ? program.outputs() : program.inputs();
    std::vector<StagedTensor>& wholes = is_output ? outputs_ : inputs_;
    wholes.assign(parts.begin(), parts.end());
    if (parts_.parts == 1) continue;
    for (StagedTensor& whole : wholes) {
      whole.shape = whole.shape.WithDim(0, whole.shape[0] * parts_.parts);
      ASSIGN_OR_RETURN(Buffer memory, backend_->Allocate(whole.bytes()));
      whole.data = memory.data();
      memory_.push_back(std::move(memory));
    }
  }
  return absl::OkStatus();
}

void InferenceProgram::Run() {
  RunParts([this](int lane) { lanes_[lane].program->Forward(); });
}

void InferenceProgram::RunTimed(absl::Span<double> seconds) {
  std::vector<std::vector<double>> of_lanes(parts_.lanes, std::vector<double>(seconds.size(), 0));
  RunParts([&](int lane) { lanes_[lane].program->ForwardTimed(absl::MakeSpan(of_lanes[lane])); });
  for (const std::vector<double>& of_lane : of_lanes) {
    for (size_t i = 0; i < seconds.size(); ++i) seconds[i] += of_lane[i] / parts_.lanes;
  }
}

void InferenceProgram::RunParts(const std::function<void(int)>& run) {
  if (parts_.parts == 1) return run(0);
  if (parts_.lanes == 1) return RunLane(0, run);
  lanes_.front().program->RefreshWeights();
  backend_->OnEachThread([&](int lane) { RunLane(lane, run); });
}

void InferenceProgram::RunLane(int lane, const std::function<void(int)>& run) {
  const Program& program = *lanes_[lane].program;
  const int64_t end = parts_.parts * (lane + 1) / parts_.lanes;
  for (int64_t part = parts_.parts * lane / parts_.lanes; part < end; ++part) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      CopyPart(inputs_[i], program.inputs()[i], part, /*out=*/false);
    }
    run(lane);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      CopyPart(outputs_[i], program.outputs()[i], part, /*out=*/true);
    }
  }
}

}  // namespace topiary
