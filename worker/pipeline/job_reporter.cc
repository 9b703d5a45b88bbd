#include "worker/pipeline/job_reporter.h"

namespace topiary {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(250);

}  // namespace

absl::Status JobReporter::Check() const {
  switch (observer_->Control()) {
    case JobControl::kContinue:
      return absl::OkStatus();
    case JobControl::kStop:
      return absl::CancelledError("the job was told to stop");
    case JobControl::kHandBack:
      return absl::AbortedError("the job was handed back");
  }
  return absl::OkStatus();
}

void JobReporter::EnterPhase(const std::string& phase) {
  progress_.phase = phase;
  said_ = clock_->Now();
  observer_->OnProgress(progress_);
}

void JobReporter::BeginTraining(int64_t step) {
  loss_sum_ = 0;
  loss_steps_ = 0;
  first_step_ = step;
  training_began_ = clock_->Now();
}

void JobReporter::OnStep(const TrainingPoint& point, const std::function<double()>& sparsity) {
  loss_sum_ += point.loss;
  ++loss_steps_;
  ++progress_.attempt_steps;
  progress_.attempt_samples += point.batch_size;
  const absl::Time now = clock_->Now();
  const bool due =
      now - said_ >= kInterval || point.phase != progress_.phase || point.step == point.total_steps;
  if (!due) return;
  progress_.phase = point.phase;
  progress_.step = point.step;
  progress_.total_steps = point.total_steps;
  progress_.epoch = static_cast<double>(point.step) / static_cast<double>(point.batches_per_epoch);
  progress_.loss = loss_sum_ / static_cast<double>(loss_steps_);
  progress_.sparsity = sparsity();
  const double seconds = absl::ToDoubleSeconds(now - training_began_);
  const auto steps = static_cast<double>(point.step - first_step_);
  if (seconds > 0 && steps > 0) {
    progress_.samples_per_second = steps * static_cast<double>(point.batch_size) / seconds;
    progress_.remaining_seconds =
        seconds / steps * static_cast<double>(point.total_steps - point.step);
  }
  loss_sum_ = 0;
  loss_steps_ = 0;
  said_ = now;
  observer_->OnProgress(progress_);
}

}  // namespace topiary
