#ifndef TOPIARY_SERVER_JOBS_JOB_H_
#define TOPIARY_SERVER_JOBS_JOB_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// The nouns of the coordinator as plain structs: what a job is, who works on it, what came of it.
//
// All of them are values without behaviour; thread-compatible. Messages of the wire end at
// server/api: a job's spec, plan, progress and result are opaque bytes here.
namespace topiary {

// Values are stored in databases: never renumber.
enum class JobState { kQueued = 1, kRunning = 2, kSucceeded = 3, kFailed = 4, kCancelled = 5 };

// SUCCEEDED, FAILED and CANCELLED: nothing changes the state any more.
constexpr bool IsTerminal(JobState state) {
  return state != JobState::kQueued && state != JobState::kRunning;
}

// "QUEUED", "RUNNING", ...
absl::string_view JobStateName(JobState state);

// Why a running job should stop at the worker's next report. Stored: never renumber.
enum class StopReason { kNone = 0, kCancelled = 1, kDeadline = 2 };

// Names of one job: `projects/{project}/jobs/{job}`.
struct JobName {
  std::string project;
  std::string job;

  friend bool operator==(const JobName& a, const JobName& b) {
    return a.project == b.project && a.job == b.job;
  }
  friend bool operator<(const JobName& a, const JobName& b) {
    return a.project != b.project ? a.project < b.project : a.job < b.job;
  }
};

inline std::string ToString(const JobName& name) {
  return absl::StrCat("projects/", name.project, "/jobs/", name.job);
}

// Device a job asks for, or a worker offers. Stored: never renumber.
enum class Device { kAny = 0, kCpu = 1, kCuda = 2 };

// What a worker must have to be given the job. Zero means "no demand".
struct Placement {
  Device device = Device::kAny;
  int threads = 0;           // per attempt; 0: the worker's choice, fixed at the first attempt
  int64_t memory_bytes = 0;  // resident size of one attempt
  bool bfloat16 = false;     // products of bfloat16, which not every instruction set has
};

// When a failed or lost attempt is followed by another one.
struct RetryPolicy {
  int max_attempts = 3;  // in all, >= 1; one handed back by a draining worker does not count
  absl::Duration initial_backoff = absl::Seconds(1);  // before the second; doubled for each further
  absl::Duration maximum_backoff = absl::Seconds(60);
};

// What decides the bits of a result besides spec, data and seed. The first that an attempt reports
// is kept with the job; later attempts go to workers that match it, if one comes within a time.
struct DeterminismKey {
  std::string onednn_version;  // "3.2.0"
  std::string isa;             // effective instruction set in oneDNN's words, e.g. "avx512_core"
  int threads = 0;             // per attempt
  std::string plan_digest;     // SHA-256 of the plan: which kernel runs which layer, how precisely

  friend bool operator==(const DeterminismKey& a, const DeterminismKey& b) {
    return a.onednn_version == b.onednn_version && a.isa == b.isa && a.threads == b.threads &&
           a.plan_digest == b.plan_digest;
  }
};

// An artifact that a job reads or wrote, in the job's own project.
struct ArtifactReference {
  std::string digest;  // SHA-256, 64 lower-case hexadecimal digits
  std::string role;    // the caller's word: "model", "data", "compressed_model", ...

  friend bool operator==(const ArtifactReference& a, const ArtifactReference& b) {
    return a.digest == b.digest && a.role == b.role;
  }
};

// A resumable training state that was stored as an artifact of kind CHECKPOINT.
struct Checkpoint {
  std::string digest;
  int attempt = 0;   // that wrote it
  int64_t step = 0;  // training steps done
  absl::Time create_time = absl::UnixEpoch();
};

// Fencing identity of an attempt. Every write by a worker names it; the store refuses any but the
// job's current one, so a worker that was thought dead can never disturb its successor.
struct AttemptName {
  std::string project;
  std::string job;
  int attempt = 0;    // fencing number: 1, 2, ... within the job
  std::string token;  // unguessable; tells a job from a later one with the same id

  JobName job_name() const { return {project, job}; }
};

// Who holds a running job, and until when.
struct Lease {
  AttemptName attempt;
  std::string worker;
  absl::Time expires_at = absl::UnixEpoch();
  bool bit_exact = true;  // false: the worker cannot match the job's determinism key
};

// Stored: never renumber.
enum class AttemptState {
  kRunning = 1,
  kSucceeded = 2,
  kFailed = 3,
  kCancelled = 4,   // stopped because the job was cancelled or past its deadline
  kHandedBack = 5,  // by a draining worker; spends no retry
  kLost = 6,        // its lease expired; spends a retry
};

// Why a job is in its state. Stored: never renumber.
enum class JobReason {
  kNone = 0,
  kSubmitted = 1,          // QUEUED: created
  kLeased = 2,             // RUNNING: a worker holds it
  kAttemptFailed = 3,      // QUEUED: the attempt failed in a way that another may not
  kLeaseLost = 4,          // QUEUED: the worker was not heard of for a lease length
  kHandedBack = 5,         // QUEUED: the worker is draining
  kCompleted = 6,          // SUCCEEDED
  kWorkFailed = 7,         // FAILED: every attempt would
  kAttemptsExhausted = 8,  // FAILED: the last attempt allowed failed or was lost
  kDeadlineExceeded = 9,   // FAILED, or RUNNING and told to stop
  kCancelRequested = 10,   // CANCELLED, or RUNNING and told to stop
  kAccuracyBound = 11,     // FAILED: no model of the training meets the bound of its spec
  kChildrenRunning = 12,   // RUNNING: a sweep, one of whose children has begun to run
  kChildrenFailed = 13,    // FAILED: a sweep, none of whose children has succeeded
};

// "LEASE_LOST", ...; "UNSPECIFIED" for kNone.
absl::string_view JobReasonName(JobReason reason);

// Why work failed, for people and for programs. Not for failed calls: those have an absl::Status.
struct Failure {
  absl::StatusCode code = absl::StatusCode::kOk;  // kOk: no failure
  std::string message;

  bool failed() const { return code != absl::StatusCode::kOk; }
};

// One try of a worker at a job.
struct Attempt {
  int number = 0;
  std::string worker;
  std::string token;  // secret of worker and coordinator: not to be shown
  AttemptState state = AttemptState::kRunning;
  bool bit_exact = true;
  absl::Time start_time = absl::UnixEpoch();
  absl::Time end_time = absl::InfiniteFuture();  // InfiniteFuture while running
  Failure failure;                               // code kOk unless failed or lost
};

// How an attempt ended, as the worker reports it. Reported again until acknowledged.
struct AttemptOutcome {
  enum class Kind { kSucceeded, kFailed, kCancelled, kHandedBack };
  Kind kind = Kind::kSucceeded;
  // kSucceeded, and kFailed where the job leaves something behind all the same: opaque result
  // manifest, and what it names, already stored in the job's project.
  std::string result;
  std::vector<ArtifactReference> outputs;
  Failure failure;                            // kFailed
  bool retryable = true;                      // kFailed: false ends the job at once,
  JobReason reason = JobReason::kWorkFailed;  // for this reason
};

// How many children of a sweep are in each state.
struct ChildCounts {
  int queued = 0;
  int running = 0;
  int succeeded = 0;
  int failed = 0;
  int cancelled = 0;

  int ended() const { return succeeded + failed + cancelled; }
  bool all_ended() const { return queued == 0 && running == 0; }

  friend bool operator==(const ChildCounts& a, const ChildCounts& b) {
    return a.queued == b.queued && a.running == b.running && a.succeeded == b.succeeded &&
           a.failed == b.failed && a.cancelled == b.cancelled;
  }
};

// The whole record of a job. A sweep is a job that other jobs are children of: it is never leased,
// and its state follows from theirs (job_transition.h).
struct Job {
  std::string project;
  std::string id;
  std::string uid;             // never used twice, unlike `id` after a deletion
  std::string request_id;      // may be empty: then creation is not idempotent
  std::string request_digest;  // SHA-256 of the creating request

  JobState state = JobState::kQueued;
  JobReason reason = JobReason::kNone;
  StopReason stop = StopReason::kNone;
  Failure failure;  // of a FAILED job; of a QUEUED or RUNNING one, what the last attempt failed of

  std::string spec;         // opaque
  std::string spec_digest;  // SHA-256 of `spec`
  std::map<std::string, std::string> labels;
  int priority = 0;  // higher is sooner
  Placement placement;
  RetryPolicy retry;
  absl::Time deadline = absl::InfiniteFuture();
  bool keep_checkpoints = false;  // also after the job has ended
  std::string parent;             // id of the sweep that it is a child of; "": of none
  int children = 0;               // that it was created with; 0: it is no sweep

  absl::Time create_time = absl::UnixEpoch();      // its age in line; retries keep it
  absl::Time update_time = absl::UnixEpoch();      // of the last change other than a renewal
  absl::Time queue_time = absl::UnixEpoch();       // last time it became QUEUED
  absl::Time eligible_time = absl::UnixEpoch();    // not leased before: back-off
  absl::Time start_time = absl::InfiniteFuture();  // of the first attempt
  absl::Time end_time = absl::InfiniteFuture();

  int last_attempt = 0;        // fencing number of the newest attempt; 0: none yet
  int attempts_spent = 0;      // failed and lost ones: count against retry.max_attempts
  std::optional<Lease> lease;  // while RUNNING
  std::optional<DeterminismKey> determinism_key;
  bool bit_exact = true;  // every attempt had the same determinism key

  std::vector<ArtifactReference> inputs;
  std::vector<ArtifactReference> outputs;  // once SUCCEEDED, or FAILED with a result
  std::vector<Checkpoint> checkpoints;     // newest first, at most kCheckpointsKept
  std::string result;                      // opaque, once SUCCEEDED, or FAILED with one
  std::string progress;                    // opaque, the latest reported

  ChildCounts child_counts;  // of a sweep, as of when it was read; not stored with it

  int64_t last_sequence = 0;  // of its newest event; 0: none
  int progress_events = 0;    // stored at present; bounded by thinning
  absl::Time last_progress_event = absl::InfinitePast();

  JobName name() const { return {project, id}; }
  JobName parent_name() const { return {project, parent}; }
  bool is_sweep() const { return children > 0; }
};

inline constexpr int kCheckpointsKept = 2;

// One numbered happening in a job's life, written in the transaction that made it happen.
struct JobEvent {
  // Stored: never renumber.
  enum class Kind { kState = 1, kProgress = 2, kChildren = 3 };
  int64_t sequence = 0;  // grows within the job, never used twice; gaps are thinned progress
  absl::Time time = absl::UnixEpoch();
  Kind kind = Kind::kState;
  JobState state = JobState::kQueued;   // of the job after the event
  JobReason reason = JobReason::kNone;  // of that state
  int attempt = 0;                      // that began, ended or reported; 0: none
  std::string worker;                   // of this attempt; "": none
  Failure failure;                      // kState: of this attempt or job, if it failed
  std::string progress;                 // kProgress: opaque
  int children_ended = 0;               // kChildren, of a sweep: how many children have ended,
  int children = 0;                     // and how many there are
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_JOB_H_
