#ifndef TOPIARY_WORKER_AGENT_AGENT_H_
#define TOPIARY_WORKER_AGENT_AGENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/cancellation.h"
#include "common/mutex.h"
#include "topiary/v1/workers.pb.h"
#include "worker/agent/attempt.h"

namespace topiary {

struct AgentOptions {
  std::string worker_id;
  v1::Capabilities capabilities;
  // How long the coordinator may hold the answer while this worker is idle.
  absl::Duration poll_timeout = absl::Seconds(30);
  // Beyond what a call may be held.
  absl::Duration call_timeout = absl::Seconds(10);
  // Between reports while the coordinator does not answer. A worker that has attempts waits no
  // longer than between two reports that are answered: their leases run meanwhile.
  BackoffOptions backoff;
};

// The worker's side of the conversation: report, obey, repeat. It tells the coordinator what each
// slot is doing, does what the answer says, and reports again when told to, or at once when an
// attempt has ended.
//
// While the coordinator does not answer, attempts go on: it finds their leases in its store when it
// is back, and the fencing number keeps a worker that was given up from doing harm.
class Agent {
 public:
  // `environment` and what it points to outlive the agent; its on_finished is set by the agent.
  Agent(AgentOptions options, AttemptEnvironment environment);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Works until Drain() was called and the last outcome is recorded, or until Abandon(). On one
  // thread, once.
  void Run();

  // Takes no more work; attempts are handed back with a checkpoint. Run() returns when
  // the coordinator knows. Thread-safe; not for signal handlers.
  void Drain();

  // Run() returns as soon as attempts have stopped, whether the coordinator knows or not: it
  // learns of it when their leases run out. Thread-safe.
  void Abandon();

 private:
  v1::SynchronizeRequest Request() ABSL_LOCKS_EXCLUDED(mutex_);
  // Does what the answer says; how long to wait before the next report.
  absl::Duration Obey(const v1::SynchronizeResponse& response) ABSL_LOCKS_EXCLUDED(mutex_);
  void ObeyOrder(const v1::AttemptOrder& order);
  void Begin(const v1::Lease& lease);
  void BeginDrain();
  // Waits, but not beyond the end of an attempt, Drain() or Abandon().
  void WaitForNews(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Done() ABSL_LOCKS_EXCLUDED(mutex_);
  void OnNews() ABSL_LOCKS_EXCLUDED(mutex_);

  const AgentOptions options_;
  AttemptEnvironment environment_;
  std::vector<std::unique_ptr<Attempt>> attempts_;     // Of the thread of Run() only.
  bool attempts_told_to_drain_ = false;                // The same.
  absl::Duration report_interval_ = absl::Seconds(1);  // As the last answer said. The same.
  // The coordinator knows that this worker drains and holds nothing, or cannot be reached. The
  // same.
  bool farewell_said_ = false;

  Mutex mutex_;
  CondVar changed_;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  bool news_ ABSL_GUARDED_BY(mutex_) = false;
  // Of the call under way: idle calls are long, and news must not wait for them.
  std::shared_ptr<Cancellation> call_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_AGENT_H_
