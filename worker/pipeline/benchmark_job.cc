#include "worker/pipeline/benchmark_job.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "worker/export/report.h"
#include "worker/export/served_model.h"
#include "worker/model/id_limits.h"
#include "worker/pipeline/finished_model.h"
#include "worker/pipeline/latency.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/pipeline/result_files.h"

namespace topiary {
namespace {

using IdLimits = std::map<std::string, std::vector<int64_t>>;

void FillWithNumbers(Random* random, const StagedTensor& input) {
  auto* values = static_cast<float*>(input.data);
  for (int64_t i = 0; i < input.shape.element_count(); ++i) values[i] = random->Normal();
}

// Ids that each lie in the tables they pick rows of.
void FillWithIds(const std::vector<int64_t>& limits, Random* random, const StagedTensor& input) {
  auto* ids = static_cast<int64_t*>(input.data);
  const auto per_example = static_cast<int64_t>(limits.size());
  for (int64_t i = 0; i < input.shape.element_count() && per_example > 0; ++i) {
    const int64_t limit = limits[i % per_example];
    const bool read = limit > 0 && limit < std::numeric_limits<int64_t>::max();
    ids[i] = read ? static_cast<int64_t>(random->Below(static_cast<uint64_t>(limit))) : 0;
  }
}

std::vector<LayerReport> Describe(const ServedModel& model) {
  std::vector<LayerReport> layers = DescribeLayers(model.graph, {}, {});
  for (LayerReport& layer : layers) {
    const auto found = model.kept.find(layer.name);
    if (found == model.kept.end()) continue;
    const BlockSparsePattern& pattern = *found->second;
    layer.pruned = true;
    layer.blocks_total = pattern.groups * pattern.down() * pattern.across();
    layer.blocks_live = pattern.kept_blocks();
  }
  return layers;
}

}  // namespace

InputFiller RandomInputs(const std::map<std::string, std::vector<int64_t>>& limits) {
  return [&limits](absl::Span<const StagedTensor> inputs) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      Random random(0, kStreamSyntheticData, i);
      const auto found = limits.find(inputs[i].name);
      if (inputs[i].dtype == DType::kFloat32) {
        FillWithNumbers(&random, inputs[i]);
      } else if (found != limits.end()) {
        FillWithIds(found->second, &random, inputs[i]);
      }
    }
  };
}

absl::StatusOr<JobOutcome> RunBenchmarkJob(const JobSpec& spec, const std::string& work_folder,
                                           LayerCostSource* costs, Backend* backend, Clock* clock,
                                           JobReporter* reporter) {
  const absl::Time began = clock->Now();
  ASSIGN_OR_RETURN(const ServedModel model,
                   ReadServedModel(spec.model_path, spec.memory_limit_bytes));
  for (const int64_t batch : spec.outputs.latency_batches) {
    const absl::Status status =
        CheckLatencyMemory(spec, model.graph, /*data_bytes=*/0, batch, /*programs=*/2);
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat("spec.outputs.latency_batch_sizes: ", batch,
                                                    ": ", status.message()));
  }
  ASSIGN_OR_RETURN(const IdLimits limits, FindIdLimits(model.graph));
  JobReport report;
  report.method = "benchmark";
  report.layers = Describe(model);
  reporter->EnterPhase("latency");
  for (const int64_t batch : spec.outputs.latency_batches) {
    LatencyOptions options;
    options.batch = batch;
    options.by_node = true;
    ASSIGN_OR_RETURN(LatencyReport latency,
                     MeasureLatency(model.graph, model.kept, costs, backend, options,
                                    RandomInputs(limits), reporter->checker()));
    latency.warning = WarningAboutSpeed(report.layers, std::nullopt, latency);
    report.latency.push_back(std::move(latency));
  }
  report.costs.total_seconds = absl::ToDoubleSeconds(clock->Now() - began);
  const BackendInfo info = backend->info();
  report.environment = {kVersion,
                        info.name,
                        info.isa,
                        info.threads,
                        info.versions,
                        "",
                        std::string(PrecisionName(info.precision))};
  ResultFiles files(work_folder);
  RETURN_IF_ERROR(files.AddReport(ReportJson(report)));
  JobOutcome outcome;
  outcome.files = files.files();
  outcome.sparsity_reached = SparsityReached(report.layers);
  return outcome;
}

}  // namespace topiary
