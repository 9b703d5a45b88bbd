#include "worker/pipeline/latency.h"

#include <algorithm>
#include <chrono>
#include <memory>
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
                                             const Batch& examples, int64_t batch) {
    InferenceOptions options;
    options.batch = batch;
    options.sparse_weights = sparse_weights;
    TimedProgram timed;
    ASSIGN_OR_RETURN(timed.program_, InferenceProgram::Build(model, store, backend, options));
    FeedInputs(examples, timed.program_->inputs());
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

  LatencyStatistics Statistics() const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    // The smallest of which at least that part is no larger.
    const auto percentile = [&sorted](size_t percent) {
      return sorted[(sorted.size() * percent + 99) / 100 - 1];
    };
    return {percentile(50), percentile(95)};
  }

 private:
  TimedProgram() = default;

  std::unique_ptr<InferenceProgram> program_;
  std::vector<double> seconds_;
};

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
  // As the runtime does with the files of the job.
  const Graph served = FoldBatchNormalization(model.Clone());
  ASSIGN_OR_RETURN(const auto store,
                   ParameterStore::Create(served, backend, StorePurpose::kInference));
  LatencyReport report;
  report.batch = batch;
  InferenceOptions options;
  options.batch = batch;
  ASSIGN_OR_RETURN(const BreakEvenDensities break_evens,
                   InferenceBreakEvens(served, kept, options, costs, backend, check));
  for (const auto& [weight, density] : break_evens) {
    report.break_even_sparsity[weight] = 1 - density;
  }
  const SparseWeights sparse_weights = WorthSkipping(kept, break_evens);
  std::vector<TimedProgram> programs;
  ASSIGN_OR_RETURN(TimedProgram dense,
                   TimedProgram::Create(served, store.get(), backend, {}, examples, batch));
  programs.push_back(std::move(dense));
  if (!sparse_weights.empty()) {
    ASSIGN_OR_RETURN(TimedProgram sparse, TimedProgram::Create(served, store.get(), backend,
                                                               sparse_weights, examples, batch));
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
  report.dense = programs.front().Statistics();
  if (programs.size() > 1) report.block_sparse = programs.back().Statistics();
  return report;
}

}  // namespace topiary
