#include "server/scheduling/scheduler.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace topiary {
namespace {

// Jobs that one transaction of the clockwork moves at most.
constexpr int kReclaimBatch = 100;

}  // namespace

Scheduler::Scheduler(SchedulerOptions options, JobStore* store, Post post,
                     std::function<std::string()> new_token, SchedulerObserver* observer)
    : options_(options),
      store_(store),
      post_(std::move(post)),
      observer_(observer),
      reclaim_from_(store->Now() + options.lease_duration),
      workers_(options.lease_duration, options.forget_worker, options.max_workers),
      recorder_(options.lease_duration, store, observer),
      granter_(options.lease_duration, options.same_key_wait, store, std::move(new_token),
               observer) {}

Scheduler::~Scheduler() { StartDraining(); }

void Scheduler::Synchronize(WorkerReport report, std::function<bool()> is_cancelled, Done done) {
  auto call = std::make_shared<PollCall>();
  const absl::Duration poll =
      std::clamp(report.poll_timeout, absl::ZeroDuration(), options_.max_poll);
  call->sequence = next_sequence_++;
  call->deadline = store_->Now() + poll;
  call->report = std::move(report);
  call->is_cancelled = std::move(is_cancelled);
  call->done = std::move(done);
  // A worker that calls again has given up on the call before.
  if (const Call before = parked_.Take(call->report.worker); before != nullptr) {
    AnswerSuperseded(before);
  }
  Enter(std::move(call));
}

void Scheduler::Enter(Call call) {
  Call superseded;
  {
    MutexLock lock(&mutex_);
    const auto [it, is_free] = lanes_.emplace(call->report.worker, Lane());
    Lane& lane = it->second;
    if (call->sequence < lane.newest) {
      superseded = std::move(call);
    } else {
      lane.newest = call->sequence;
      if (!is_free) superseded = std::exchange(lane.next, std::move(call));
    }
  }
  if (superseded != nullptr) AnswerSuperseded(superseded);
  if (call != nullptr) RunLane(std::move(call));
}

void Scheduler::RunLane(Call call) {
  const std::string worker = call->report.worker;
  while (call != nullptr) {
    Process(call);
    MutexLock lock(&mutex_);
    const auto lane = lanes_.find(worker);
    call = std::move(lane->second.next);
    if (call == nullptr) lanes_.erase(lane);
  }
}

void Scheduler::Process(const Call& call) {
  while (true) {
    if (call->is_cancelled()) return Answer(call, absl::CancelledError("the worker has gone"));
    const uint64_t generation = parked_.generation();
    const absl::Time now = store_->Now();
    absl::StatusOr<WorkerOrders> orders = Obey(call.get(), now);
    if (!orders.ok() || !MayPark(*call, *orders, now)) return Answer(call, std::move(orders));
    workers_.SetWaiting(call->report.worker, true, now);
    Call displaced;
    const ParkedPolls::Parking parking = parked_.Park(call, generation, &displaced);
    if (displaced != nullptr) AnswerSuperseded(displaced);
    if (parking == ParkedPolls::Parking::kSuperseded) AnswerSuperseded(call);
    if (parking != ParkedPolls::Parking::kLookAgain) return;
  }
}

absl::StatusOr<WorkerOrders> Scheduler::Obey(PollCall* call, absl::Time now) {
  const WorkerReport& report = call->report;
  WorkerOrders orders;
  orders.lease_duration = options_.lease_duration;
  orders.next_report = options_.report_interval;
  orders.drain = workers_.Report(report, now);
  orders.coordinator_draining = draining_;
  ASSIGN_OR_RETURN(orders.orders, recorder_.Record(report, now));
  if (report.draining) {
    RETURN_IF_ERROR(granter_.TakeBackUnknown(report, now));
  } else if (report.free_slots > 0) {
    const bool new_work = !orders.drain && !orders.coordinator_draining;
    ASSIGN_OR_RETURN(Grants grants, granter_.Grant(report, new_work, now));
    orders.new_leases = std::move(grants.leases);
    call->wake_at = grants.next;
  }
  return orders;
}

bool Scheduler::MayPark(const PollCall& call, const WorkerOrders& orders, absl::Time now) const {
  const WorkerReport& report = call.report;
  const bool is_idle = report.attempts.empty() && report.free_slots > 0 && !report.draining;
  const bool has_news = !orders.new_leases.empty() || orders.drain || draining_;
  return is_idle && !has_news && now < call.deadline;
}

void Scheduler::Answer(const Call& call, absl::StatusOr<WorkerOrders> orders) {
  workers_.SetWaiting(call->report.worker, false, store_->Now());
  // The drain may have begun after the call was obeyed and before it could be parked.
  if (orders.ok() && draining_) orders->coordinator_draining = true;
  call->done(std::move(orders));
}

void Scheduler::OnJobChange(const JobChange& change) {
  if (change.state == JobState::kQueued && !change.deleted) LookAgain(parked_.TakeAll());
}

void Scheduler::AnswerSuperseded(const Call& call) {
  call->done(absl::AbortedError("a newer call of the same worker took this one's place"));
}

void Scheduler::LookAgain(const std::vector<Call>& calls) {
  for (const Call& call : calls) {
    if (post_([this, call] { Enter(call); })) continue;
    Answer(call, absl::UnavailableError("the coordinator is busy: call again"));
  }
}

absl::Status Scheduler::Tick() {
  const absl::Time now = store_->Now();
  LookAgain(parked_.TakeDue(now));
  {
    MutexLock lock(&mutex_);
    if (now < next_reclaim_) return absl::OkStatus();
    next_reclaim_ = now + options_.reclaim_interval;
  }
  return Reclaim(now);
}

absl::Status Scheduler::Reclaim(absl::Time now) {
  absl::Status first;
  // Workers that could not report while no coordinator was there must first have had the chance.
  if (now >= reclaim_from_) {
    const absl::StatusOr<std::vector<MovedJob>> lost = store_->ReclaimExpired(now, kReclaimBatch);
    first.Update(lost.status());
    if (lost.ok()) {
      for (const MovedJob& job : *lost) observer_->OnLeaseLost(job.name, job.attempt, job.worker);
    }
  }
  first.Update(store_->ExpireDeadlines(now, kReclaimBatch).status());
  return first;
}

void Scheduler::StartDraining() {
  draining_ = true;
  for (const Call& call : parked_.TakeAll()) {
    WorkerOrders orders;
    orders.lease_duration = options_.lease_duration;
    orders.next_report = options_.report_interval;
    Answer(call, std::move(orders));
  }
}

std::vector<WorkerInfo> Scheduler::ListWorkers(const std::string& after, int limit) {
  return workers_.List(after, limit, store_->Now());
}

absl::StatusOr<WorkerInfo> Scheduler::DrainWorker(const std::string& worker) {
  ASSIGN_OR_RETURN(WorkerInfo info, workers_.Drain(worker, store_->Now()));
  // All of them: so the worker's call hears of it even if it is not parked yet.
  LookAgain(parked_.TakeAll());
  return info;
}

}  // namespace topiary
