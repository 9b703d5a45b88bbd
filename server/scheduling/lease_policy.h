#ifndef TOPIARY_SERVER_SCHEDULING_LEASE_POLICY_H_
#define TOPIARY_SERVER_SCHEDULING_LEASE_POLICY_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/jobs/job_store.h"
#include "server/scheduling/worker.h"

// The rules of the scheduler as pure functions: no clock, no store, no lock.
namespace topiary {

// Whether a worker has what a job demands. A demand for memory is not met by a worker that does not
// know how much it has, one for bfloat16 only by instruction sets known to have it.
bool CanRun(const WorkerCapabilities& worker, const Placement& demand);

// Whether a worker can give the same bits as the attempts before: it has the same oneDNN and
// instruction set, which are those of its process, and enough threads. It can do with fewer threads
// for one attempt, but not with a lower instruction set.
bool MatchesKey(const WorkerCapabilities& worker, const DeterminismKey& key);

struct Pick {
  JobName job;
  absl::Time queue_time = absl::UnixEpoch();
  bool bit_exact = true;  // false: the worker cannot match the job's determinism key
};

struct Choice {
  std::vector<Pick> picks;
  // When, if nothing else happens, there may be more for this worker: the end of a back-off or of a
  // wait for a matching worker. InfiniteFuture: never.
  absl::Time next = absl::InfiniteFuture();
};

// Chooses up to `count` jobs for a worker: of those it can run, the highest priority first; within
// it, of the project that has the fewest running attempts (these picks counted); within that, the
// oldest. A job with a determinism key that the worker cannot match is left for another worker
// until it has waited for `same_key_wait`.
Choice ChooseJobs(const SchedulingSnapshot& snapshot, const WorkerCapabilities& worker, int count,
                  absl::Time now, absl::Duration same_key_wait);

// What to tell a worker about an attempt, by what the store said to its report: `status` of the
// write, `stop` of the job, and whether the report had an outcome.
AttemptOrder DecideOrder(const AttemptName& attempt, const absl::Status& status, StopReason stop,
                         bool has_outcome);

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_LEASE_POLICY_H_
