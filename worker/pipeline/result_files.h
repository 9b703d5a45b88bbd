// The files a job leaves behind, and the report about them.
#ifndef TOPIARY_WORKER_PIPELINE_RESULT_FILES_H_
#define TOPIARY_WORKER_PIPELINE_RESULT_FILES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/export/block_sparse_file.h"
#include "worker/export/report.h"
#include "worker/export/shrink.h"
#include "worker/kernels/backend.h"
#include "worker/model/graph.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/job_runner.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/pipeline/task.h"
#include "worker/prune/phases.h"

namespace topiary {

// Writes result files into a folder. Every model file is read back and compared with what was
// meant. One thread at a time.
class ResultFiles {
 public:
  explicit ResultFiles(std::string folder) : folder_(std::move(folder)) {}

  absl::Status AddOnnx(const Graph& model);        // model.onnx
  absl::Status AddShrunkOnnx(const Graph& model);  // model.shrunk.onnx
  absl::Status AddBlockSparse(const Graph& model,  // model.safetensors
                              const std::vector<PrunedWeight>& pruned);
  absl::Status AddPredictions(const Tensor& predictions);  // predictions.npz
  void
  AddCheckpoint();  // "checkpoint", where it lies there: a training that diverged may have none.
  absl::Status AddReport(const std::string& json);  // report.json

  const std::vector<JobFile>& files() const { return files_; }
  // Size and digest of each file so far but the checkpoint.
  absl::StatusOr<std::vector<FileReport>> Describe() const;

 private:
  std::string Add(JobFile::Kind kind, const std::string& filename);

  const std::string folder_;
  std::vector<JobFile> files_;
};

// What the report is made from; all pointers are borrowed for the call.
struct ReportInput {
  const JobSpec* spec = nullptr;
  const LoadedJob* job = nullptr;  // Its graph is the model that the job leaves behind.
  const JobRecord* record = nullptr;
  const std::vector<PrunedWeight>* pruned = nullptr;
  const std::vector<PrunedGroup>* pruned_groups = nullptr;
  MetricValues trained_metrics;  // Of the trained model; empty where nothing was trained.
  std::vector<Phase> phases;
  std::vector<LatencyReport> latency;
  std::optional<AccuracyBoundReport> accuracy_bound;
  const ShrunkModel* shrunk = nullptr;  // Null where none was made.
  std::vector<std::string> warnings;    // Besides those about the layers.
  BackendInfo backend;
  std::string plan_digest;
  double total_seconds = 0;
  std::optional<double> training_estimate_seconds;  // Of a dry run.
};

// Adds report.json to `files` and gives the outcome of the job.
absl::StatusOr<JobOutcome> WriteReport(const ReportInput& input, ResultFiles* files);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_RESULT_FILES_H_
