// Resumable state of a job between two steps, in one safetensors file.
#ifndef TOPIARY_WORKER_PIPELINE_CHECKPOINT_H_
#define TOPIARY_WORKER_PIPELINE_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/export/report.h"
#include "worker/features/feature_selector.h"
#include "worker/pipeline/kernel_plan.h"
#include "worker/pipeline/task.h"
#include "worker/prune/method.h"

namespace topiary {

// The best model so far that meets the accuracy bound: as it was exported, had training ended then.
struct KeptModel {
  int64_t step = 0;
  double sparsity = 0;  // Of all Gemm, MatMul and Conv weights.
  MetricValues metrics;
  // SaveExported(). Shared by copies of the record: it is as large as the model.
  std::shared_ptr<const MethodState> state;
};

// The features that a job has chosen.
struct SelectionRecord {
  std::vector<ChosenFeature> chosen;
  // Of the training that chose them, at its end with the chosen ones alone; empty where there was
  // none.
  MetricValues metrics;
  std::vector<HistoryEntry> history;
};

// What a job has found out so far and cannot compute again from its input alone.
struct JobRecord {
  // Of the training to come.
  void BeginHistory() {
    history.clear();
    loss_sum = 0;
    loss_steps = 0;
  }

  MetricValues given_metrics;
  // Of the dense comparison; absent while it has not ended, or where there is none.
  std::optional<MetricValues> dense_metrics;
  // Absent while the selection has not ended, or where there is none.
  std::optional<SelectionRecord> selection = std::nullopt;
  // Of the training under way.
  std::vector<HistoryEntry> history;
  // Training loss since the last entry of the history.
  double loss_sum = 0;
  int64_t loss_steps = 0;
  // Over all attempts.
  double training_seconds = 0;
  double evaluation_seconds = 0;
  int64_t samples = 0;
  // Absent where nothing is pruned.
  std::optional<KernelPlan> plan;
  // Absent while there is none.
  std::optional<KeptModel> kept;
  // False once any attempt ran with another determinism key than the first.
  bool bit_exact = true;
};

// A complete checkpoint. Where a job has two trainings the first, while `first_of_two`, is that of
// the dense comparison or of the selection of features.
struct Checkpoint {
  std::string method;
  bool first_of_two = false;
  int64_t step = 0;  // Steps done of the training under way.
  JobRecord record;
  std::string plan_digest;
  MethodState training;  // TrainingLoop::Save().
};

// The file appears whole or not at all.
absl::Status WriteCheckpoint(Checkpoint checkpoint, const std::string& path);

// INVALID_ARGUMENT where the file is no checkpoint of this format; other errors as
// ReadSafetensors().
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_CHECKPOINT_H_
