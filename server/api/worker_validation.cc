#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "server/api/message_check.h"
#include "server/api/request_validation.h"

namespace topiary {
namespace {

constexpr int kMaxSlots = 64;
constexpr int kMaxThreads = 1024;
constexpr int kMaxMetrics = 64;
constexpr int kMaxResultFiles = 64;
constexpr int64_t kMaxPollSeconds = 60;

// The checks of one message's fields.
class Checks {
 public:
  Checks(std::string path, FieldViolations* violations)
      : path_(std::move(path)), violations_(violations) {}

  void That(bool ok, absl::string_view field, absl::string_view description) {
    violations_->Check(ok, JoinPath(path_, field), description);
  }
  void Text(const std::string& text, size_t min_bytes, size_t max_bytes, absl::string_view field) {
    That(text.size() >= min_bytes && text.size() <= max_bytes, field,
         absl::StrCat("must have ", min_bytes, " to ", max_bytes, " bytes"));
  }
  void Between(int64_t value, int64_t low, int64_t high, absl::string_view field) {
    That(low <= value && value <= high, field,
         absl::StrCat("must lie between ", low, " and ", high));
  }
  Checks Of(absl::string_view field) const { return Checks(JoinPath(path_, field), violations_); }
  Checks Of(absl::string_view field, int index) const {
    return Checks(ElementPath(path_, field, index), violations_);
  }

 private:
  const std::string path_;
  FieldViolations* const violations_;
};

template <typename Map>
void CheckMetrics(const Map& metrics, absl::string_view field, Checks* check) {
  check->That(metrics.size() <= kMaxMetrics, field, "must have at most 64 entries");
  for (const auto& [name, value] : metrics) {
    (void)value;  // a diverged run has a metric that is not a number
    check->That(!name.empty() && name.size() <= 64, field, "names must have 1 to 64 bytes");
  }
}

void CheckCapabilities(const v1::Capabilities& capabilities, Checks check) {
  check.Between(capabilities.slots(), 1, kMaxSlots, "slots");
  check.Between(capabilities.threads(), 1, kMaxThreads, "threads");
  check.That(capabilities.memory_bytes() >= 0, "memory_bytes", "must not be negative");
  check.Text(capabilities.isa(), 1, 64, "isa");
  check.Text(capabilities.onednn_version(), 1, 64, "onednn_version");
  check.Text(capabilities.version(), 0, 64, "version");
  check.Between(capabilities.devices_size(), 1, 8, "devices");
  for (int i = 0; i < capabilities.devices_size(); ++i) {
    check.That(capabilities.devices(i) == v1::Placement::CPU, absl::StrCat("devices[", i, "]"),
               "this version of the service knows CPU only");
  }
}

void CheckProgress(const v1::Progress& progress, Checks check) {
  check.Text(progress.phase(), 0, 64, "phase");
  check.That(progress.step() >= 0, "step", "must not be negative");
  check.That(progress.total_steps() >= 0, "total_steps", "must not be negative");
  CheckMetrics(progress.metrics(), "metrics", &check);
}

void CheckResult(const v1::JobResult& result, Checks check) {
  check.That(result.files_size() <= kMaxResultFiles, "files", "must have at most 64 entries");
  for (int i = 0; i < std::min(result.files_size(), kMaxResultFiles); ++i) {
    const v1::ResultFile& file = result.files(i);
    Checks file_check = check.Of("files", i);
    file_check.That(v1::ResultFile::Kind_IsValid(file.kind()) &&
                        file.kind() != v1::ResultFile::KIND_UNSPECIFIED,
                    "kind", "must be one of the kinds");
    file_check.Text(file.filename(), 1, 255, "filename");
    file_check.That(IsSha256Hex(file.digest()), "digest", "must be a SHA-256");
    file_check.That(file.size_bytes() >= 0, "size_bytes", "must not be negative");
  }
  CheckMetrics(result.given_metrics(), "given_metrics", &check);
  CheckMetrics(result.dense_metrics(), "dense_metrics", &check);
  CheckMetrics(result.pruned_metrics(), "pruned_metrics", &check);
}

void CheckOutcome(const v1::Outcome& outcome, Checks check) {
  check.That(outcome.outcome_case() != v1::Outcome::OUTCOME_NOT_SET, "succeeded",
             "set succeeded, failed, handed_back or stopped");
  if (outcome.has_succeeded()) CheckResult(outcome.succeeded(), check.Of("succeeded"));
  if (outcome.has_failed()) {
    const v1::Failure& failed = outcome.failed();
    check.Between(failed.error().code(), 1, 16, "failed.error.code");
    const bool bound = failed.reason() == v1::JOB_REASON_ACCURACY_BOUND;
    check.That(bound || failed.reason() == v1::JOB_REASON_UNSPECIFIED, "failed.reason",
               "must be JOB_REASON_ACCURACY_BOUND, or left out");
    check.That(!bound || !failed.retryable(), "failed.retryable",
               "must be false with JOB_REASON_ACCURACY_BOUND: every attempt would end so");
    check.That(bound == failed.has_result(), "failed.result",
               "must be there with JOB_REASON_ACCURACY_BOUND, and only there");
    if (failed.has_result()) CheckResult(failed.result(), check.Of("failed.result"));
  }
}

void CheckAttempt(const v1::AttemptReport& attempt, Checks check) {
  check.That(ParseJobName(attempt.job()).has_value(), "job",
             "must be \"projects/{project}/jobs/{job}\"");
  check.That(attempt.attempt() >= 1, "attempt", "must be at least 1");
  check.Text(attempt.token(), 1, 256, "token");
  check.That(v1::AttemptReport::Phase_IsValid(attempt.phase()) &&
                 attempt.phase() != v1::AttemptReport::PHASE_UNSPECIFIED,
             "phase", "must be one of the phases");
  if (attempt.has_progress()) CheckProgress(attempt.progress(), check.Of("progress"));
  if (attempt.has_checkpoint()) {
    check.That(IsSha256Hex(attempt.checkpoint().digest()), "checkpoint.digest",
               "must be a SHA-256");
    check.That(attempt.checkpoint().step() >= 0, "checkpoint.step", "must not be negative");
  }
  if (attempt.has_determinism_key()) {
    const v1::DeterminismKey& key = attempt.determinism_key();
    Checks key_check = check.Of("determinism_key");
    key_check.Text(key.onednn_version(), 1, 64, "onednn_version");
    key_check.Text(key.isa(), 1, 64, "isa");
    key_check.Between(key.threads(), 1, kMaxThreads, "threads");
    key_check.That(key.plan_digest().empty() || IsSha256Hex(key.plan_digest()), "plan_digest",
                   "must be a SHA-256");
  }
  check.That((attempt.phase() == v1::AttemptReport::FINISHED) == attempt.has_outcome(), "outcome",
             "must be there in phase FINISHED, and only there");
  if (attempt.has_outcome()) CheckOutcome(attempt.outcome(), check.Of("outcome"));
}

}  // namespace

absl::Status ValidateSynchronize(const v1::SynchronizeRequest& request) {
  FieldViolations violations;
  Checks check("", &violations);
  check.That(IsWorkerId(request.worker_id()), "worker_id",
             "must match [A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?");
  CheckCapabilities(request.capabilities(), check.Of("capabilities"));
  check.That(request.attempts_size() <= kMaxSlots, "attempts", "must have at most 64 entries");
  std::set<std::pair<std::string, int>> seen;
  for (int i = 0; i < std::min(request.attempts_size(), kMaxSlots); ++i) {
    const v1::AttemptReport& attempt = request.attempts(i);
    CheckAttempt(attempt, check.Of("attempts", i));
    check.That(seen.emplace(attempt.job(), attempt.attempt()).second,
               absl::StrCat("attempts[", i, "].job"), "the attempt is reported twice");
  }
  check.Between(request.free_slots(), 0, kMaxSlots, "free_slots");
  check.That(!request.draining() || request.free_slots() == 0, "free_slots",
             "must be 0 while draining");
  const auto& poll = request.poll_timeout();
  check.That(poll.seconds() >= 0 && poll.nanos() >= 0 && poll.nanos() < 1000000000 &&
                 (poll.seconds() < kMaxPollSeconds ||
                  (poll.seconds() == kMaxPollSeconds && poll.nanos() == 0)),
             "poll_timeout", "must lie between 0 and 60 s");
  return violations.ToStatus();
}

}  // namespace topiary
