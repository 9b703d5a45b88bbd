#include "server/scheduling/parked_polls.h"

#include <utility>

namespace topiary {

uint64_t ParkedPolls::generation() const {
  MutexLock lock(&mutex_);
  return generation_;
}

ParkedPolls::Parking ParkedPolls::Park(const Call& call, uint64_t generation, Call* displaced) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return Parking::kLookAgain;
  Call& place = calls_[call->report.worker];
  if (place != nullptr && place->sequence > call->sequence) return Parking::kSuperseded;
  *displaced = std::exchange(place, call);
  return Parking::kParked;
}

std::vector<ParkedPolls::Call> ParkedPolls::TakeAll() {
  MutexLock lock(&mutex_);
  ++generation_;
  std::vector<Call> calls;
  for (auto& [worker, call] : calls_) calls.push_back(std::move(call));
  calls_.clear();
  return calls;
}

ParkedPolls::Call ParkedPolls::Take(const std::string& worker) {
  MutexLock lock(&mutex_);
  const auto it = calls_.find(worker);
  if (it == calls_.end()) return nullptr;
  Call call = std::move(it->second);
  calls_.erase(it);
  return call;
}

std::vector<ParkedPolls::Call> ParkedPolls::TakeDue(absl::Time now) {
  MutexLock lock(&mutex_);
  std::vector<Call> due;
  for (auto it = calls_.begin(); it != calls_.end();) {
    const PollCall& call = *it->second;
    if (call.deadline <= now || call.wake_at <= now || call.is_cancelled()) {
      due.push_back(std::move(it->second));
      it = calls_.erase(it);
    } else {
      ++it;
    }
  }
  return due;
}

}  // namespace topiary
