#include "worker/pipeline/training_stage.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/pipeline/exported_state.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/prune/phases.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

constexpr int64_t kMeasurements = 20;

}  // namespace

double SparsityOf(const Method& method, int64_t all_elements) {
  int64_t zero = PrunedElements(PrunedGroupsOf(method));
  for (size_t i = 0; i < method.layers().size(); ++i) {
    if (method.layers()[i].group != nullptr) continue;
    zero += method.layers()[i].partition->ElementsPruned(method.support(static_cast<int>(i)));
  }
  return all_elements == 0 ? 0 : static_cast<double>(zero) / static_cast<double>(all_elements);
}

absl::StatusOr<absl::Duration> FastestStep(TrainingLoop* loop, Clock* clock) {
  constexpr int64_t kSteps = 5;
  absl::Duration fastest = absl::InfiniteDuration();
  while (loop->next_step() < std::min(kSteps, loop->total_steps())) {
    const absl::Time began = clock->Now();
    RETURN_IF_ERROR(loop->Step().status());
    fastest = std::min(fastest, clock->Now() - began);
  }
  return fastest;
}

TrainingStage::TrainingStage(const Options& options, TrainingLoop* loop, Evaluator* evaluator,
                             JobReporter* reporter, JobObserver* observer, Clock* clock,
                             JobRecord* record)
    : options_(options),
      loop_(loop),
      evaluator_(evaluator),
      reporter_(reporter),
      observer_(observer),
      clock_(clock),
      record_(record),
      last_checkpoint_(clock->Now()),
      accounted_(last_checkpoint_) {}

absl::Status TrainingStage::Run() {
  reporter_->BeginTraining(loop_->next_step());
  last_checkpoint_ = accounted_ = clock_->Now();
  // An attempt that was handed back during the measurement of this step has left it to this one.
  RETURN_IF_ERROR(MeasureIfDue());
  while (loop_->next_step() < loop_->total_steps()) {
    const JobControl control = observer_->Control();
    if (control == JobControl::kHandBack) RETURN_IF_ERROR(SaveCheckpoint());
    if (control != JobControl::kContinue) return reporter_->Check();
    ASSIGN_OR_RETURN(const TrainingLoop::StepResult result, loop_->Step());
    RETURN_IF_ERROR(AfterStep(result));
  }
  AccountTo(&record_->training_seconds);
  // A run resumed after its last step has written none.
  if (options_.keep_last_checkpoint && !std::filesystem::exists(LastCheckpointPath())) {
    return SaveCheckpoint();
  }
  return absl::OkStatus();
}

absl::Status TrainingStage::AfterStep(const TrainingLoop::StepResult& result) {
  const int64_t done = loop_->next_step();
  record_->loss_sum += result.loss;
  ++record_->loss_steps;
  record_->samples += loop_->batch_size();
  JobReporter::TrainingPoint point;
  point.phase = !options_.phase.empty()
                    ? options_.phase
                    : std::string(PhaseKindName(loop_->method().plan().At(done - 1).phase.kind));
  point.step = done;
  point.total_steps = loop_->total_steps();
  point.batches_per_epoch = loop_->batches_per_epoch();
  point.batch_size = loop_->batch_size();
  point.loss = result.loss;
  reporter_->OnStep(point, [this] { return SparsityOf(loop_->method(), options_.all_elements); });
  RETURN_IF_ERROR(MeasureIfDue());
  const bool due = clock_->Now() - last_checkpoint_ >= options_.checkpoint_interval;
  return due || result.phase_ended ? SaveCheckpoint() : absl::OkStatus();
}

bool TrainingStage::MeasuresAt(int64_t step) const {
  if (step == 0) return false;
  const int64_t per_epoch = loop_->batches_per_epoch();
  const int64_t epochs = loop_->total_steps() / per_epoch;
  const int64_t every = (epochs + kMeasurements - 1) / kMeasurements;
  return epochs > 0 && step % per_epoch == 0 && step / per_epoch % every == 0;
}

absl::Status TrainingStage::MeasureIfDue() {
  const int64_t done = loop_->next_step();
  const bool measured = !record_->history.empty() && record_->history.back().step == done;
  if (measured || !MeasuresAt(done)) return absl::OkStatus();
  const absl::Status status = Measure();
  // Nothing was recorded: who resumes from this checkpoint measures first.
  if (absl::IsAborted(status)) RETURN_IF_ERROR(SaveCheckpoint());
  return status;
}

absl::Status TrainingStage::Measure() {
  AccountTo(&record_->training_seconds);
  loop_->RefreshEffectiveWeights();
  HistoryEntry entry;
  if (options_.bound.has_value()) {
    const std::vector<std::vector<float>> statistics = SaveStatistics(*loop_->store());
    absl::StatusOr<MetricValues> metrics = MeasureForBound();
    LoadStatistics(statistics, loop_->store());
    ASSIGN_OR_RETURN(entry.metrics, std::move(metrics));
  } else {
    ASSIGN_OR_RETURN(entry.metrics, evaluator_->Evaluate(reporter_->checker()));
  }
  entry.step = loop_->next_step();
  entry.epoch = static_cast<double>(entry.step) / static_cast<double>(loop_->batches_per_epoch());
  entry.loss = record_->loss_sum / static_cast<double>(std::max<int64_t>(1, record_->loss_steps));
  entry.sparsity = SparsityOf(loop_->method(), options_.all_elements);
  record_->loss_sum = 0;
  record_->loss_steps = 0;
  reporter_->set_metrics(entry.metrics);
  record_->history.push_back(std::move(entry));
  AccountTo(&record_->evaluation_seconds);
  return absl::OkStatus();
}

absl::StatusOr<MetricValues> TrainingStage::MeasureForBound() {
  RETURN_IF_ERROR(loop_->ReestimateBatchNorm(options_.batch_norm_batches, reporter_->checker()));
  KeptModel model;
  model.step = loop_->next_step();
  model.sparsity = SparsityOf(loop_->method(), options_.all_elements);
  ASSIGN_OR_RETURN(model.metrics, evaluator_->Evaluate(reporter_->checker()));
  MetricValues metrics = model.metrics;
  if (options_.bound->Prefers(model, record_->kept) && HoldsPattern()) {
    model.state =
        std::make_shared<const MethodState>(SaveExported(*loop_->store(), loop_->method()));
    record_->kept = std::move(model);
  }
  return metrics;
}

bool TrainingStage::HoldsPattern() const {
  if (!options_.n_of_m.has_value()) return true;
  const Method& method = loop_->method();
  for (size_t i = 0; i < method.layers().size(); ++i) {
    // Runs keep their n best before any other weight is kept: no more than in the end are just
    // these.
    const int64_t in_the_end = KeptElements(*method.layers()[i].partition, *options_.n_of_m);
    if (LiveBlocks(method.support(static_cast<int>(i))) > in_the_end) return false;
  }
  return true;
}

absl::Status TrainingStage::SaveCheckpoint() {
  AccountTo(&record_->training_seconds);
  Checkpoint checkpoint;
  checkpoint.method = options_.method;
  checkpoint.first_of_two = options_.first_of_two;
  checkpoint.step = loop_->next_step();
  checkpoint.record = *record_;
  checkpoint.plan_digest = options_.plan_digest;
  checkpoint.training = loop_->Save();
  const std::string path = LastCheckpointPath();
  RETURN_IF_ERROR(WriteCheckpoint(std::move(checkpoint), path));
  // The observer logs it if it was not stored. The next one may get through; until then a lost
  // worker costs more steps.
  const int64_t steps = options_.steps_before + loop_->next_step();
  if (observer_->OnCheckpoint(path, steps).ok()) options_.on_stored();
  if (!options_.keep_last_checkpoint) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  last_checkpoint_ = accounted_ = clock_->Now();
  return absl::OkStatus();
}

std::string TrainingStage::LastCheckpointPath() const {
  return absl::StrCat(options_.work_folder, "/checkpoint");
}

void TrainingStage::AccountTo(double* seconds) {
  const absl::Time now = clock_->Now();
  *seconds += absl::ToDoubleSeconds(now - accounted_);
  accounted_ = now;
}

}  // namespace topiary
