#ifndef TOPIARY_SERVER_SCHEDULING_SCHEDULER_H_
#define TOPIARY_SERVER_SCHEDULING_SCHEDULER_H_

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "server/jobs/job_store.h"
#include "server/scheduling/lease_granter.h"
#include "server/scheduling/parked_polls.h"
#include "server/scheduling/report_recorder.h"
#include "server/scheduling/scheduler_observer.h"
#include "server/scheduling/worker.h"
#include "server/scheduling/worker_registry.h"

namespace topiary {

struct SchedulerOptions {
  absl::Duration lease_duration = absl::Seconds(30);  // from each accepted report
  absl::Duration report_interval = absl::Seconds(1);
  absl::Duration max_poll = absl::Seconds(60);  // longest an answer is held
  // How long a repeated job waits for a worker that matches its determinism key.
  absl::Duration same_key_wait = absl::Minutes(10);
  absl::Duration reclaim_interval = absl::Seconds(1);
  // A worker silent for this long is forgotten by ListWorkers.
  absl::Duration forget_worker = absl::Hours(1);
  size_t max_workers = 10000;  // remembered for ListWorkers
};

// The decisions behind WorkerService.Synchronize and the clockwork beside it. It holds no job
// state: what is true is in the JobStore; here are only the calls that wait and the workers seen
// lately, so a coordinator that restarts has lost nothing.
//
// Thread-safe. Methods that block on the store say so; call those on an executor, not on gRPC's
// threads. No lock is held across a store call or a callback.
class Scheduler {
 public:
  using Done = std::function<void(absl::StatusOr<WorkerOrders>)>;
  // Runs a closure on another thread soon, never before it returns. False: full, and the call that
  // it was for is answered UNAVAILABLE.
  using Post = std::function<bool(std::function<void()>)>;

  // `new_token` makes unguessable lease tokens. Pointers must outlive the scheduler.
  Scheduler(SchedulerOptions options, JobStore* store, Post post,
            std::function<std::string()> new_token, SchedulerObserver* observer);

  // Answers what still waits. The executor must have run, or dropped, what was posted to it.
  ~Scheduler();

  // Obeys a worker's report and answers with its orders. Blocks on the store. `done` is called
  // exactly once: before this returns or, where the report allows it and there is nothing to say,
  // later, by an executor thread or by Tick(), when there is work, the poll's time is over, the
  // coordinator drains, or a newer call of the same worker takes its place (ABORTED).
  // `is_cancelled`, called from any thread until `done` was: true once the caller has gone; then
  // `done` gets CANCELLED and no lease is spent on it.
  //
  // May be repeated at will: a lease that the store says this worker holds and that it did not
  // report is handed to it again. Errors of the call are the store's; all that was reported should
  // then be reported again.
  void Synchronize(WorkerReport report, std::function<bool()> is_cancelled, Done done);

  // Called by the store after each commit (JobStore::SetListener): wakes waiting workers when a job
  // was queued. Does not block.
  void OnJobChange(const JobChange& change);

  // The clockwork, to be called every 100 ms or so by one thread; blocks on the store. Ends polls
  // whose time is over, wakes workers when a back-off or a wait for the same determinism key ends,
  // and once a second reclaims expired leases (never before one lease length has passed since
  // construction) and obeys deadlines. Returns the first error; what failed is tried again next
  // time.
  absl::Status Tick();

  // For a shutdown: answers every waiting call, and holds none from now on. Grants no new lease.
  void StartDraining();

  // Workers with an id greater than `after`, by id, at most `limit`.
  std::vector<WorkerInfo> ListWorkers(const std::string& after, int limit);

  // Asks a worker to drain. It hears of it at once if it waits, else at its next report.
  // NOT_FOUND, reason WORKER_NOT_FOUND.
  absl::StatusOr<WorkerInfo> DrainWorker(const std::string& worker);

 private:
  using Call = ParkedPolls::Call;

  // The calls of one worker follow one another: while one is looked at, the next one waits here.
  struct Lane {
    int64_t newest = 0;  // sequence of the newest call that entered
    Call next;
  };

  void Enter(Call call);
  void RunLane(Call call);
  void Process(const Call& call);
  absl::StatusOr<WorkerOrders> Obey(PollCall* call, absl::Time now);
  bool MayPark(const PollCall& call, const WorkerOrders& orders, absl::Time now) const;
  void Answer(const Call& call, absl::StatusOr<WorkerOrders> orders);
  void AnswerSuperseded(const Call& call);
  void LookAgain(const std::vector<Call>& calls);
  absl::Status Reclaim(absl::Time now);

  const SchedulerOptions options_;
  JobStore* const store_;
  const Post post_;
  SchedulerObserver* const observer_;
  const absl::Time reclaim_from_;
  WorkerRegistry workers_;
  ParkedPolls parked_;
  ReportRecorder recorder_;
  LeaseGranter granter_;
  std::atomic<bool> draining_{false};
  std::atomic<int64_t> next_sequence_{1};

  Mutex mutex_;
  std::map<std::string, Lane> lanes_ ABSL_GUARDED_BY(mutex_);  // of workers with a call in work
  absl::Time next_reclaim_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_SCHEDULER_H_
