#include "server/api/job_proto.h"

#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "server/api/serialize.h"
#include "server/api/time_proto.h"

namespace topiary {
namespace {

Placement PlacementOf(const v1::CompressionSpec& spec) {
  const v1::Placement& proto = spec.placement();
  Placement placement;
  placement.device = Device::kCpu;  // the only one that validation lets through
  placement.threads = proto.has_threads() ? proto.threads() : 0;
  placement.memory_bytes = proto.memory_bytes();
  placement.bfloat16 = spec.task().precision() == v1::Task::BFLOAT16;
  return placement;
}

RetryPolicy RetryOf(const v1::RetryPolicy& proto) {
  RetryPolicy retry;
  retry.max_attempts = proto.max_attempts();
  retry.initial_backoff = DurationFromProto(proto.initial_backoff());
  retry.maximum_backoff = DurationFromProto(proto.maximum_backoff());
  return retry;
}

v1::JobReason ToProto(JobReason reason) { return static_cast<v1::JobReason>(reason); }
static_assert(static_cast<int>(JobReason::kSubmitted) == v1::JOB_REASON_SUBMITTED);
static_assert(static_cast<int>(JobReason::kLeaseLost) == v1::JOB_REASON_LEASE_LOST);
static_assert(static_cast<int>(JobReason::kCompleted) == v1::JOB_REASON_COMPLETED);
static_assert(static_cast<int>(JobReason::kCancelRequested) == v1::JOB_REASON_CANCEL_REQUESTED);
static_assert(static_cast<int>(JobReason::kAccuracyBound) == v1::JOB_REASON_ACCURACY_BOUND);
static_assert(static_cast<int>(JobReason::kChildrenFailed) == v1::JOB_REASON_CHILDREN_FAILED);

v1::Attempt::State ToProto(AttemptState state) {
  switch (state) {
    case AttemptState::kRunning:
      return v1::Attempt::RUNNING;
    case AttemptState::kSucceeded:
      return v1::Attempt::SUCCEEDED;
    case AttemptState::kFailed:
      return v1::Attempt::FAILED;
    case AttemptState::kCancelled:
      return v1::Attempt::CANCELLED;
    case AttemptState::kHandedBack:
      return v1::Attempt::HANDED_BACK;
    case AttemptState::kLost:
      return v1::Attempt::LOST;
  }
  return v1::Attempt::STATE_UNSPECIFIED;
}

v1::Attempt ToProto(const Attempt& attempt) {
  v1::Attempt proto;
  proto.set_number(attempt.number);
  proto.set_state(ToProto(attempt.state));
  proto.set_worker_id(attempt.worker);
  *proto.mutable_start_time() = TimeToProto(attempt.start_time);
  if (attempt.end_time != absl::InfiniteFuture()) {
    *proto.mutable_end_time() = TimeToProto(attempt.end_time);
  }
  if (attempt.failure.failed()) *proto.mutable_error() = ToProto(attempt.failure);
  return proto;
}

absl::Status Parse(const std::string& bytes, const std::string& what,
                   google::protobuf::Message* message) {
  if (message->ParseFromString(bytes)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the stored ", what, " cannot be read: the database is damaged"));
}

v1::Progress SweepProgress(int ended, int children) {
  v1::Progress progress;
  progress.set_phase("sweep");
  progress.set_step(ended);
  progress.set_total_steps(children);
  return progress;
}

void SetFamily(const Job& job, v1::Job* proto) {
  if (!job.parent.empty()) proto->set_parent_job(ToString(job.parent_name()));
  if (!job.is_sweep()) return;
  const ChildCounts& counts = job.child_counts;
  v1::JobChildren* children = proto->mutable_children();
  children->set_total(job.children);
  children->set_queued(counts.queued);
  children->set_running(counts.running);
  children->set_succeeded(counts.succeeded);
  children->set_failed(counts.failed);
  children->set_cancelled(counts.cancelled);
  if (counts.ended() > 0) *proto->mutable_progress() = SweepProgress(counts.ended(), job.children);
}

void SetTimes(const Job& job, v1::Job* proto) {
  *proto->mutable_create_time() = TimeToProto(job.create_time);
  if (job.start_time != absl::InfiniteFuture()) {
    *proto->mutable_start_time() = TimeToProto(job.start_time);
  }
  if (job.end_time != absl::InfiniteFuture())
    *proto->mutable_end_time() = TimeToProto(job.end_time);
  if (job.state == JobState::kQueued && job.last_attempt > 0 &&
      job.eligible_time > job.queue_time) {
    *proto->mutable_retry_time() = TimeToProto(job.eligible_time);
  }
}

}  // namespace

std::vector<ArtifactReference> InputsOf(const v1::CompressionSpec& spec) {
  std::vector<ArtifactReference> inputs;
  std::set<std::string> seen;
  const auto add = [&](const std::string& digest, const char* role) {
    if (!digest.empty() && seen.insert(digest).second) inputs.push_back({digest, role});
  };
  for (const v1::ModelFile& file : spec.model().files()) add(file.digest(), "model");
  for (const v1::DataSource* source : {&spec.data().train(), &spec.data().evaluation()}) {
    add(source->npz().digest(), "data");
    add(source->idx().images_digest(), "data");
    add(source->idx().labels_digest(), "data");
    add(source->csv().digest(), "data");
  }
  return inputs;
}

Job JobFromSpec(const v1::CompressionSpec& spec, absl::Time now) {
  Job job;
  job.spec = SerializeDeterministically(spec);
  job.spec_digest = Sha256Hex(job.spec);
  job.labels.insert(spec.labels().begin(), spec.labels().end());
  job.priority = spec.priority();
  job.placement = PlacementOf(spec);
  job.retry = RetryOf(spec.retry());
  if (spec.has_deadline()) job.deadline = now + DurationFromProto(spec.deadline());
  job.keep_checkpoints = spec.outputs().keep_checkpoint();
  job.inputs = InputsOf(spec);
  job.create_time = now;
  return job;
}

absl::StatusOr<v1::Job> ToProto(const Job& job, const std::vector<Attempt>& attempts) {
  v1::Job proto;
  if (!job.id.empty()) proto.set_name(ToString(job.name()));
  RETURN_IF_ERROR(Parse(job.spec, "spec", proto.mutable_spec()));
  proto.set_state(ToProto(job.state));
  proto.set_reason(ToProto(job.reason));
  proto.set_cancel_requested(job.stop == StopReason::kCancelled);
  SetTimes(job, &proto);
  for (const Attempt& attempt : attempts) *proto.add_attempts() = ToProto(attempt);
  if (!job.progress.empty()) {
    RETURN_IF_ERROR(Parse(job.progress, "progress", proto.mutable_progress()));
  }
  if (job.failure.failed()) *proto.mutable_error() = ToProto(job.failure);
  // Sweeps have one also when they were cancelled.
  if (job.state == JobState::kSucceeded || !job.result.empty()) {
    RETURN_IF_ERROR(Parse(job.result, "result", proto.mutable_result()));
    proto.mutable_result()->set_bit_exact(proto.result().bit_exact() && job.bit_exact);
  }
  SetFamily(job, &proto);
  proto.set_last_sequence(job.last_sequence);
  return proto;
}

absl::StatusOr<v1::JobEvent> ToProto(const JobEvent& event) {
  v1::JobEvent proto;
  proto.set_sequence(event.sequence);
  *proto.mutable_time() = TimeToProto(event.time);
  if (event.kind == JobEvent::Kind::kProgress) {
    RETURN_IF_ERROR(Parse(event.progress, "progress", proto.mutable_progress()));
    return proto;
  }
  if (event.kind == JobEvent::Kind::kChildren) {
    *proto.mutable_progress() = SweepProgress(event.children_ended, event.children);
    return proto;
  }
  v1::JobStateChange* change = proto.mutable_state_change();
  change->set_state(ToProto(event.state));
  change->set_reason(ToProto(event.reason));
  change->set_attempt(event.attempt);
  change->set_worker_id(event.worker);
  if (event.failure.failed()) *change->mutable_error() = ToProto(event.failure);
  return proto;
}

google::rpc::Status ToProto(const Failure& failure) {
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(failure.code));
  proto.set_message(failure.message);
  return proto;
}

v1::JobState ToProto(JobState state) { return static_cast<v1::JobState>(state); }

JobState FromProto(v1::JobState state) { return static_cast<JobState>(state); }

static_assert(static_cast<int>(JobState::kQueued) == v1::JOB_STATE_QUEUED);
static_assert(static_cast<int>(JobState::kRunning) == v1::JOB_STATE_RUNNING);
static_assert(static_cast<int>(JobState::kSucceeded) == v1::JOB_STATE_SUCCEEDED);
static_assert(static_cast<int>(JobState::kFailed) == v1::JOB_STATE_FAILED);
static_assert(static_cast<int>(JobState::kCancelled) == v1::JOB_STATE_CANCELLED);

}  // namespace topiary
