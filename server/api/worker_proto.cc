#include "server/api/worker_proto.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/api/resource_name.h"
#include "server/api/serialize.h"
#include "server/api/time_proto.h"

namespace topiary {
namespace {

constexpr size_t kMaxFailureMessageBytes = 2048;

DeterminismKey FromProto(const v1::DeterminismKey& proto) {
  return {proto.onednn_version(), proto.isa(), proto.threads(), proto.plan_digest()};
}

v1::DeterminismKey ToProto(const DeterminismKey& key) {
  v1::DeterminismKey proto;
  proto.set_onednn_version(key.onednn_version);
  proto.set_isa(key.isa);
  proto.set_threads(key.threads);
  proto.set_plan_digest(key.plan_digest);
  return proto;
}

std::string Cut(const std::string& message) {
  size_t end = std::min(message.size(), kMaxFailureMessageBytes);
  while (end < message.size() && end > 0 &&
         (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) {
    --end;
  }
  return message.substr(0, end);
}

std::string RoleOf(v1::ResultFile::Kind kind) {
  switch (kind) {
    case v1::ResultFile::ONNX:
      return "onnx";
    case v1::ResultFile::BLOCK_SPARSE:
      return "block_sparse";
    case v1::ResultFile::REPORT:
      return "report";
    case v1::ResultFile::PREDICTIONS:
      return "predictions";
    case v1::ResultFile::CHECKPOINT:
      return "checkpoint";
    case v1::ResultFile::SHRUNK_ONNX:
      return "shrunk_onnx";
    default:
      return "other";
  }
}

AttemptOutcome FromProto(const v1::Outcome& proto) {
  AttemptOutcome outcome;
  const auto take_result = [&outcome](const v1::JobResult& result) {
    outcome.result = SerializeDeterministically(result);
    for (const v1::ResultFile& file : result.files()) {
      outcome.outputs.push_back({file.digest(), RoleOf(file.kind())});
    }
  };
  switch (proto.outcome_case()) {
    case v1::Outcome::kSucceeded:
      outcome.kind = AttemptOutcome::Kind::kSucceeded;
      take_result(proto.succeeded());
      break;
    case v1::Outcome::kFailed:
      outcome.kind = AttemptOutcome::Kind::kFailed;
      outcome.failure = {static_cast<absl::StatusCode>(proto.failed().error().code()),
                         Cut(proto.failed().error().message())};
      outcome.retryable = proto.failed().retryable();
      if (proto.failed().reason() == v1::JOB_REASON_ACCURACY_BOUND) {
        outcome.reason = JobReason::kAccuracyBound;
        take_result(proto.failed().result());
      }
      break;
    case v1::Outcome::kHandedBack:
      outcome.kind = AttemptOutcome::Kind::kHandedBack;
      break;
    default:
      outcome.kind = AttemptOutcome::Kind::kCancelled;
      break;
  }
  return outcome;
}

AttemptReport FromProto(const v1::AttemptReport& proto, absl::Time now) {
  AttemptReport report;
  const JobName job = ParseJobName(proto.job()).value_or(JobName());
  report.attempt = {job.project, job.job, proto.attempt(), proto.token()};
  if (proto.has_progress()) {
    v1::Progress progress = proto.progress();
    *progress.mutable_update_time() = TimeToProto(now);
    report.progress = SerializeDeterministically(progress);
  }
  if (proto.has_checkpoint()) {
    report.checkpoint = Checkpoint();
    report.checkpoint->digest = proto.checkpoint().digest();
    report.checkpoint->attempt = proto.attempt();
    report.checkpoint->step = proto.checkpoint().step();
    report.checkpoint->create_time = now;
  }
  if (proto.has_determinism_key()) report.determinism_key = FromProto(proto.determinism_key());
  if (proto.has_outcome()) report.outcome = FromProto(proto.outcome());
  return report;
}

WorkerCapabilities FromProto(const v1::Capabilities& proto) {
  WorkerCapabilities capabilities;
  capabilities.slots = proto.slots();
  capabilities.threads = proto.threads();
  capabilities.memory_bytes = proto.memory_bytes();
  capabilities.isa = proto.isa();
  capabilities.onednn_version = proto.onednn_version();
  capabilities.version = proto.version();
  for (int i = 0; i < proto.devices_size(); ++i) capabilities.devices.push_back(Device::kCpu);
  return capabilities;
}

v1::Capabilities ToProto(const WorkerCapabilities& capabilities) {
  v1::Capabilities proto;
  proto.set_slots(capabilities.slots);
  proto.set_threads(capabilities.threads);
  proto.set_memory_bytes(capabilities.memory_bytes);
  proto.set_isa(capabilities.isa);
  proto.set_onednn_version(capabilities.onednn_version);
  proto.set_version(capabilities.version);
  if (!capabilities.devices.empty()) proto.add_devices(v1::Placement::CPU);
  return proto;
}

v1::AttemptOrder::Action ToProto(AttemptOrder::Action action) {
  switch (action) {
    case AttemptOrder::Action::kContinue:
      return v1::AttemptOrder::CONTINUE;
    case AttemptOrder::Action::kStop:
      return v1::AttemptOrder::STOP;
    case AttemptOrder::Action::kForget:
      return v1::AttemptOrder::FORGET;
  }
  return v1::AttemptOrder::ACTION_UNSPECIFIED;
}

v1::AttemptOrder::Reason ToProto(AttemptOrder::Reason reason) {
  return static_cast<v1::AttemptOrder::Reason>(reason);
}
static_assert(static_cast<int>(AttemptOrder::Reason::kCancelled) == v1::AttemptOrder::CANCELLED);
static_assert(static_cast<int>(AttemptOrder::Reason::kLeaseLost) == v1::AttemptOrder::LEASE_LOST);
static_assert(static_cast<int>(AttemptOrder::Reason::kDeadlineExceeded) ==
              v1::AttemptOrder::DEADLINE_EXCEEDED);
static_assert(static_cast<int>(AttemptOrder::Reason::kRecorded) == v1::AttemptOrder::RECORDED);
static_assert(static_cast<int>(AttemptOrder::Reason::kJobGone) == v1::AttemptOrder::JOB_GONE);

absl::StatusOr<v1::Lease> ToProto(const LeaseGrant& grant, absl::Duration lease_duration) {
  v1::Lease proto;
  proto.set_job(ToString(grant.lease.attempt.job_name()));
  proto.set_attempt(grant.lease.attempt.attempt);
  proto.set_token(grant.lease.attempt.token);
  if (!proto.mutable_spec()->ParseFromString(grant.job.spec)) {
    return absl::DataLossError(absl::StrCat("the stored spec of ", proto.job(),
                                            " cannot be read: the database is damaged"));
  }
  if (!grant.job.checkpoints.empty()) {
    proto.set_checkpoint_digest(grant.job.checkpoints.front().digest);
  }
  if (grant.job.determinism_key.has_value()) {
    *proto.mutable_determinism_key() = ToProto(*grant.job.determinism_key);
  }
  *proto.mutable_lease_duration() = DurationToProto(lease_duration);
  return proto;
}

v1::Worker::State ToProto(WorkerInfo::State state) {
  switch (state) {
    case WorkerInfo::State::kIdle:
      return v1::Worker::IDLE;
    case WorkerInfo::State::kBusy:
      return v1::Worker::BUSY;
    case WorkerInfo::State::kDraining:
      return v1::Worker::DRAINING;
    case WorkerInfo::State::kSilent:
      return v1::Worker::SILENT;
  }
  return v1::Worker::STATE_UNSPECIFIED;
}

}  // namespace

WorkerReport FromProto(const v1::SynchronizeRequest& request, absl::Time now) {
  WorkerReport report;
  report.worker = request.worker_id();
  report.capabilities = FromProto(request.capabilities());
  for (const v1::AttemptReport& attempt : request.attempts()) {
    report.attempts.push_back(FromProto(attempt, now));
  }
  report.free_slots = request.free_slots();
  report.draining = request.draining();
  report.poll_timeout = DurationFromProto(request.poll_timeout());
  return report;
}

absl::StatusOr<v1::SynchronizeResponse> ToProto(const WorkerOrders& orders) {
  v1::SynchronizeResponse response;
  for (const AttemptOrder& order : orders.orders) {
    v1::AttemptOrder* proto = response.add_orders();
    proto->set_job(ToString(order.job));
    proto->set_attempt(order.attempt);
    proto->set_action(ToProto(order.action));
    proto->set_reason(ToProto(order.reason));
  }
  for (const LeaseGrant& grant : orders.new_leases) {
    ASSIGN_OR_RETURN(*response.add_new_leases(), ToProto(grant, orders.lease_duration));
  }
  *response.mutable_next_report() = DurationToProto(orders.next_report);
  response.set_drain(orders.drain);
  response.set_coordinator_draining(orders.coordinator_draining);
  return response;
}

v1::Worker ToProto(const WorkerInfo& worker) {
  v1::Worker proto;
  proto.set_name(FormatWorkerName(worker.id));
  proto.set_state(ToProto(worker.state));
  *proto.mutable_capabilities() = ToProto(worker.capabilities);
  for (const JobName& job : worker.jobs) proto.add_jobs(ToString(job));
  *proto.mutable_last_report_time() = TimeToProto(worker.last_report_time);
  proto.set_drain_requested(worker.drain_requested);
  return proto;
}

}  // namespace topiary
