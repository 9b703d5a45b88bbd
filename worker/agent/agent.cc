#include "worker/agent/agent.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/time/clock.h"
#include "common/logging.h"

namespace topiary {
namespace {

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

// A coordinator must not be able to make a worker spin or sleep for ever.
absl::Duration ReportInterval(const v1::SynchronizeResponse& response) {
  return std::clamp(ToDuration(response.next_report()), absl::Milliseconds(10), absl::Minutes(1));
}

}  // namespace

Agent::Agent(AgentOptions options, AttemptEnvironment environment)
    : options_(std::move(options)), environment_(std::move(environment)) {
  environment_.on_finished = [this] { OnNews(); };
}

Agent::~Agent() = default;

void Agent::Run() {
  Backoff backoff(options_.backoff);
  while (!Done()) {
    {
      MutexLock lock(&mutex_);
      news_ = false;
    }
    const v1::SynchronizeRequest request = Request();
    const bool idle = request.attempts_size() == 0;
    auto call = std::make_shared<Cancellation>();
    {
      MutexLock lock(&mutex_);
      // News since then may not be in the request, and an idle call would keep it waiting.
      if (idle && news_) call->Cancel();
      call_ = idle ? call : nullptr;
    }
    const absl::StatusOr<v1::SynchronizeResponse> response = environment_.coordinator->Synchronize(
        request, options_.call_timeout + ToDuration(request.poll_timeout()), call.get());
    {
      MutexLock lock(&mutex_);
      call_ = nullptr;
    }
    if (call->cancelled() && !response.ok()) continue;
    // A lease granted to a call that was cancelled comes back in the answer to the farewell.
    farewell_said_ =
        request.draining() && idle && (!response.ok() || response->new_leases().empty());
    environment_.metrics->OnSynchronize(response.status());
    if (farewell_said_) continue;
    if (response.ok()) {
      backoff.Reset();
      WaitForNews(Obey(*response));
    } else {
      backoff.Fail();
      LogWarning("coordinator did not answer",
                 {{"worker", options_.worker_id}, {"error", response.status().ToString()}});
      WaitForNews(attempts_.empty() ? backoff.Delay()
                                    : std::min(backoff.Delay(), report_interval_));
    }
  }
  // An abandoned worker still runs them; all are told before one is waited for.
  for (const auto& attempt : attempts_) attempt->Stop();
  attempts_.clear();
}

v1::SynchronizeRequest Agent::Request() {
  bool draining;
  {
    MutexLock lock(&mutex_);
    draining = draining_;
  }
  if (draining && !attempts_told_to_drain_) BeginDrain();
  v1::SynchronizeRequest request;
  request.set_worker_id(options_.worker_id);
  *request.mutable_capabilities() = options_.capabilities;
  for (const auto& attempt : attempts_) *request.add_attempts() = attempt->Report();
  const int busy = static_cast<int>(attempts_.size());
  const int free = options_.capabilities.slots() - busy;
  environment_.metrics->SetSlots(busy, free);
  environment_.metrics->SetCacheBytes(environment_.cache->size_bytes());
  request.set_draining(draining);
  request.set_free_slots(draining ? 0 : free);
  if (busy == 0 && !draining) {
    request.mutable_poll_timeout()->set_seconds(absl::ToInt64Seconds(options_.poll_timeout));
  }
  return request;
}

absl::Duration Agent::Obey(const v1::SynchronizeResponse& response) {
  for (const v1::AttemptOrder& order : response.orders()) ObeyOrder(order);
  for (const v1::Lease& lease : response.new_leases()) Begin(lease);
  if (response.drain()) Drain();
  report_interval_ = ReportInterval(response);
  // A new lease is confirmed at once, so that a lost answer is noticed early.
  return response.new_leases_size() > 0 ? absl::ZeroDuration() : report_interval_;
}

void Agent::ObeyOrder(const v1::AttemptOrder& order) {
  const auto found =
      std::find_if(attempts_.begin(), attempts_.end(), [&order](const auto& attempt) {
        return attempt->lease().job() == order.job() &&
               attempt->lease().attempt() == order.attempt();
      });
  if (found == attempts_.end()) return;
  switch (order.action()) {
    case v1::AttemptOrder::STOP:
      (*found)->Stop();
      return;
    case v1::AttemptOrder::FORGET:
      // Its thread is joined here: it has ended, or ends with the step.
      attempts_.erase(found);
      return;
    default:
      return;
  }
}

void Agent::Begin(const v1::Lease& lease) {
  const auto same_job = [&lease](const auto& attempt) {
    return attempt->lease().job() == lease.job();
  };
  if (std::any_of(attempts_.begin(), attempts_.end(), same_job) ||
      static_cast<int>(attempts_.size()) >= options_.capabilities.slots()) {
    LogWarning(
        "lease refused",
        {{"job", lease.job()}, {"attempt", lease.attempt()}, {"worker", options_.worker_id}});
    return;
  }
  try {
    attempts_.push_back(std::make_unique<Attempt>(lease, environment_));
  } catch (const std::exception& error) {
    // No thread or no memory for one: the lease runs out, and the job goes elsewhere.
    LogError("attempt not started", {{"job", lease.job()},
                                     {"attempt", lease.attempt()},
                                     {"worker", options_.worker_id},
                                     {"error", error.what()}});
    return;
  }
  if (attempts_told_to_drain_) attempts_.back()->HandBack();
}

void Agent::BeginDrain() {
  attempts_told_to_drain_ = true;
  for (const auto& attempt : attempts_) attempt->HandBack();
}

void Agent::WaitForNews(absl::Duration duration) {
  const absl::Time deadline = absl::Now() + duration;
  MutexLock lock(&mutex_);
  while (!news_ && !abandoned_) {
    if (changed_.WaitUntil(&mutex_, deadline)) break;
  }
}

bool Agent::Done() {
  MutexLock lock(&mutex_);
  return abandoned_ || farewell_said_;
}

void Agent::Drain() {
  {
    MutexLock lock(&mutex_);
    draining_ = true;
  }
  OnNews();
}

void Agent::Abandon() {
  {
    MutexLock lock(&mutex_);
    abandoned_ = true;
  }
  OnNews();
}

void Agent::OnNews() {
  MutexLock lock(&mutex_);
  news_ = true;
  changed_.SignalAll();
  if (call_ != nullptr) call_->Cancel();
}

}  // namespace topiary
