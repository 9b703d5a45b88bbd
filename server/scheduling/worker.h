#ifndef TOPIARY_SERVER_SCHEDULING_WORKER_H_
#define TOPIARY_SERVER_SCHEDULING_WORKER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/jobs/job.h"

// WorkerService.Synchronize as plain structs: what a worker reports and what it is told. The words
// are those of proto/topiary/v1/workers.proto, which tells the whole story.
namespace topiary {

// What a worker is; does not change in the life of its process.
struct WorkerCapabilities {
  int slots = 1;             // attempts at a time
  int threads = 1;           // of one attempt
  int64_t memory_bytes = 0;  // for one attempt; 0: not known
  std::string isa;           // in effect in its process, whose kernels use nothing higher
  std::string onednn_version;
  std::string version;
  std::vector<Device> devices;  // kCpu, kCuda
};

// What a worker does for one lease.
struct AttemptReport {
  AttemptName attempt;
  std::optional<std::string> progress;   // opaque
  std::optional<Checkpoint> checkpoint;  // the newest that is uploaded; `attempt` is filled in here
  std::optional<DeterminismKey> determinism_key;
  std::optional<AttemptOutcome> outcome;  // it has ended
};

struct WorkerReport {
  std::string worker;
  WorkerCapabilities capabilities;
  std::vector<AttemptReport> attempts;
  int free_slots = 0;                                  // leases it would take now
  bool draining = false;                               // it wants no more work
  absl::Duration poll_timeout = absl::ZeroDuration();  // how long an answer may be held
};

// What to do about one reported attempt.
struct AttemptOrder {
  enum class Action { kContinue, kStop, kForget };
  enum class Reason { kNone, kCancelled, kLeaseLost, kDeadlineExceeded, kRecorded, kJobGone };
  JobName job;
  int attempt = 0;
  Action action = Action::kContinue;
  Reason reason = Reason::kNone;
};

// A new (or repeated) lease with all that the worker needs to begin: spec, determinism key and the
// newest checkpoint are in `job`.
struct LeaseGrant {
  Lease lease;
  Job job;
};

struct WorkerOrders {
  std::vector<AttemptOrder> orders;    // one for each reported attempt, in order
  std::vector<LeaseGrant> new_leases;  // at most free_slots
  absl::Duration lease_duration = absl::ZeroDuration();
  absl::Duration next_report = absl::ZeroDuration();
  bool drain = false;                 // hand back what runs, take nothing new
  bool coordinator_draining = false;  // report again to whoever answers then
};

// A worker as an administrator sees it.
struct WorkerInfo {
  enum class State { kIdle, kBusy, kDraining, kSilent };
  std::string id;
  State state = State::kIdle;
  WorkerCapabilities capabilities;
  std::vector<JobName> jobs;
  absl::Time last_report_time = absl::UnixEpoch();
  bool drain_requested = false;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_WORKER_H_
