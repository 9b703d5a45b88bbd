#include "server/scheduling/job_events.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"

namespace topiary {

// What the hub knows of a watch. The callback runs under its mutex, so that a watch that is being
// destroyed waits for it.
struct JobWatch::Slot {
  Mutex mutex;
  bool armed ABSL_GUARDED_BY(mutex) = false;
  std::function<void()> on_ready ABSL_GUARDED_BY(mutex);

  void SetArmed(bool value) {
    MutexLock lock(&mutex);
    armed = value;
  }

  void Fire() {
    MutexLock lock(&mutex);
    if (!armed || !on_ready) return;
    armed = false;
    on_ready();
  }

  void Close() {
    MutexLock lock(&mutex);
    on_ready = nullptr;
  }
};

JobWatch::JobWatch(JobEvents* hub, JobStore* store, JobName name, int64_t after,
                   std::function<void()> on_ready)
    : hub_(hub),
      store_(store),
      name_(std::move(name)),
      after_(after),
      slot_(std::make_shared<Slot>()) {
  MutexLock lock(&slot_->mutex);
  slot_->on_ready = std::move(on_ready);
}

JobWatch::~JobWatch() {
  hub_->Remove(name_, slot_);
  slot_->Close();
}

absl::StatusOr<JobEventBatch> JobWatch::Read(int limit) {
  JobEventBatch batch;
  batch.ended = ended_;
  if (ended_) return batch;
  // Armed before it reads: what is committed after the read fires, what was before is read.
  slot_->SetArmed(true);
  absl::StatusOr<std::vector<JobEvent>> events = store_->ListEvents(name_, after_, limit);
  if (!events.ok()) {
    slot_->SetArmed(false);
    return events.status();
  }
  batch.events = *std::move(events);
  if (batch.events.empty()) {
    // A watcher that begins after the last event of a job that has ended would wait for ever.
    ASSIGN_OR_RETURN(const Job job, store_->Get(name_));
    ended_ = IsTerminal(job.state) && job.last_sequence <= after_;
  } else {
    after_ = batch.events.back().sequence;
    ended_ = IsTerminal(batch.events.back().state);
  }
  if (ended_ || !batch.events.empty()) slot_->SetArmed(false);
  batch.ended = ended_;
  return batch;
}

std::unique_ptr<JobWatch> JobEvents::Watch(const JobName& name, int64_t after,
                                           std::function<void()> on_ready) {
  std::unique_ptr<JobWatch> watch(new JobWatch(this, store_, name, after, std::move(on_ready)));
  MutexLock lock(&mutex_);
  slots_[name].insert(watch->slot_);
  return watch;
}

void JobEvents::Remove(const JobName& name, const std::shared_ptr<JobWatch::Slot>& slot) {
  MutexLock lock(&mutex_);
  const auto it = slots_.find(name);
  if (it == slots_.end()) return;
  it->second.erase(slot);
  if (it->second.empty()) slots_.erase(it);
}

void JobEvents::OnJobChange(const JobChange& change) {
  std::vector<std::shared_ptr<JobWatch::Slot>> slots;
  {
    MutexLock lock(&mutex_);
    const auto it = slots_.find(change.name);
    if (it != slots_.end()) slots.assign(it->second.begin(), it->second.end());
  }
  for (const auto& slot : slots) slot->Fire();
}

int JobEvents::size() const {
  MutexLock lock(&mutex_);
  int size = 0;
  for (const auto& [name, slots] : slots_) size += static_cast<int>(slots.size());
  return size;
}

}  // namespace topiary
