#include "worker/pipeline/latency.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/data/loader.h"
#include "worker/engine/inference_program.h"
#include "worker/engine/parameter_store.h"
#include "worker/model/batch_norm_folding.h"
#include "worker/pipeline/batch_feed.h"
#include "worker/prune/block_skipping.h"

namespace topiary {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kWarmUps = 2;
constexpr int kFewestRuns = 5;
constexpr int kMostRuns = 200;
constexpr std::chrono::seconds kTimeToMeasure(1);

// A program and how long each of its runs took.
class TimedProgram {
 public:
  static absl::StatusOr<TimedProgram> Create(const Graph& model, ParameterStore* store,
                                             Backend* backend, const SparseWeights& sparse_weights,
                                             const InputFiller& fill, int64_t batch) {
    InferenceOptions options;
    options.batch = batch;
    options.sparse_weights = sparse_weights;
    TimedProgram timed;
    ASSIGN_OR_RETURN(timed.program_, InferenceProgram::Build(model, store, backend, options));
    fill(timed.program_->inputs());
    const size_t steps = timed.program_->statistics().forward_steps.size();
    timed.step_seconds_.assign(steps, std::numeric_limits<double>::infinity());
    return timed;
  }

  const std::vector<std::string>& sparse_weights() const {
    return program_->statistics().sparse_weights;
  }

  void WarmUp() { program_->Run(); }

  void Run() {
    const SteadyClock::time_point began = SteadyClock::now();
    program_->Run();
    const std::chrono::duration<double> took = SteadyClock::now() - began;
    seconds_.push_back(took.count());
  }

  void RunByStep() {
    std::vector<double> seconds(step_seconds_.size(), 0);
    program_->RunTimed(absl::MakeSpan(seconds));
    for (size_t i = 0; i < seconds.size(); ++i) {
      step_seconds_[i] = std::min(step_seconds_[i], seconds[i]);
    }
  }

  // Of each node in the order in which they run.
  std::vector<std::pair<std::string, double>> NodeSeconds() const {
    std::vector<std::pair<std::string, double>> nodes;
    const std::vector<std::string>& steps = program_->statistics().forward_steps;
    for (size_t i = 0; i < steps.size(); ++i) {
      // "MatMul+relu Gemm node 'fc1'"
      const std::string node = steps[i].substr(std::min(steps[i].size(), steps[i].find(' ') + 1));
      if (nodes.empty() || nodes.back().first != node) nodes.emplace_back(node, 0);
      nodes.back().second += step_seconds_[i];
    }
    return nodes;
  }

  LatencyStatistics Statistics() const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    // The smallest of which at least that part is no larger.
    const auto percentile = [&sorted](size_t percent) {
      return sorted[(sorted.size() * percent + 99) / 100 - 1];
    };
    const double sum = std::accumulate(sorted.begin(), sorted.end(), 0.0);
    return {percentile(50), percentile(95), sum / static_cast<double>(sorted.size())};
  }

 private:
  TimedProgram() = default;

  std::unique_ptr<InferenceProgram> program_;
  std::vector<double> seconds_;
  std::vector<double> step_seconds_;  // Of the fastest pass.
};

std::vector<NodeLatencyReport> NodesOf(const std::vector<TimedProgram>& programs) {
  std::vector<NodeLatencyReport> nodes;
  for (const auto& [node, seconds] : programs.front().NodeSeconds()) {
    nodes.push_back({node, seconds, std::nullopt});
  }
  if (programs.size() == 1) return nodes;
  for (const auto& [node, seconds] : programs.back().NodeSeconds()) {
    const std::string& name = node;
    auto found = std::find_if(nodes.begin(), nodes.end(), [&name](const NodeLatencyReport& n) {
      return n.node == name && !n.block_sparse.has_value();
    });
    // A change of layouts that the dense program does not need.
    if (found == nodes.end()) found = nodes.insert(found, {node, 0, std::nullopt});
    found->block_sparse = seconds;
  }
  return nodes;
}

}  // namespace

absl::StatusOr<LatencyReport> MeasureLatency(const Graph& model, const SparseWeights& kept,
                                             LayerCostSource* costs, Backend* backend,
                                             const Dataset& data, int64_t batch,
                                             const std::function<absl::Status()>& check) {
  LoaderOptions loader_options;
  loader_options.batch_size = std::min(batch, data.size());
  loader_options.shuffle = false;
  loader_options.drop_remainder = false;
  ASSIGN_OR_RETURN(const std::unique_ptr<Loader> loader, Loader::Create(data, loader_options));
  const Batch& examples = loader->Next();
  LatencyOptions options;
  options.batch = batch;
  return MeasureLatency(
      model, kept, costs, backend, options,
      [&examples](absl::Span<const StagedTensor> inputs) { FeedInputs(examples, inputs); }, check);
}

absl::StatusOr<LatencyReport> MeasureLatency(const Graph& model, const SparseWeights& kept,
                                             LayerCostSource* costs, Backend* backend,
                                             const LatencyOptions& options, const InputFiller& fill,
                                             const std::function<absl::Status()>& check) {
  // As the runtime does with the files of the job.
  const Graph served = FoldBatchNormalization(model.Clone());
  ASSIGN_OR_RETURN(const auto store,
                   ParameterStore::Create(served, backend, StorePurpose::kInference));
  LatencyReport report;
  report.batch = options.batch;
  InferenceOptions program;
  program.batch = options.batch;
  ASSIGN_OR_RETURN(const BreakEvenDensities break_evens,
                   InferenceBreakEvens(served, kept, program, costs, backend, check));
  for (const auto& [weight, density] : break_evens) {
    report.break_even_sparsity[weight] = 1 - density;
  }
  const SparseWeights sparse_weights = WorthSkipping(kept, break_evens);
  std::vector<TimedProgram> programs;
  ASSIGN_OR_RETURN(TimedProgram dense,
                   TimedProgram::Create(served, store.get(), backend, {}, fill, options.batch));
  programs.push_back(std::move(dense));
  if (!sparse_weights.empty()) {
    ASSIGN_OR_RETURN(
        TimedProgram sparse,
        TimedProgram::Create(served, store.get(), backend, sparse_weights, fill, options.batch));
    report.sparse_weights = sparse.sparse_weights();
    if (!report.sparse_weights.empty()) programs.push_back(std::move(sparse));
  }
  const auto run_all = [&](void (TimedProgram::*run)()) -> absl::Status {
    for (TimedProgram& program : programs) {
      RETURN_IF_ERROR(check());
      (program.*run)();
    }
    return absl::OkStatus();
  };
  const SteadyClock::time_point end = SteadyClock::now() + kTimeToMeasure;
  for (int i = 0; i < kWarmUps; ++i) RETURN_IF_ERROR(run_all(&TimedProgram::WarmUp));
  while (report.runs < kFewestRuns || (report.runs < kMostRuns && SteadyClock::now() < end)) {
    RETURN_IF_ERROR(run_all(&TimedProgram::Run));
    ++report.runs;
  }
  if (options.by_node) {
    for (int i = 0; i < kFewestRuns; ++i) RETURN_IF_ERROR(run_all(&TimedProgram::RunByStep));
    report.nodes = NodesOf(programs);
  }
  report.dense = programs.front().Statistics();
  if (programs.size() > 1) report.block_sparse = programs.back().Statistics();
  return report;
}

}  // namespace topiary
