#include "server/artifacts/digest_locks.h"

namespace topiary {

DigestLocks::Claim DigestLocks::Acquire(const std::string& name) {
  MutexLock lock(&mutex_);
  while (!claimed_.insert(name).second) released_.Wait(&mutex_);
  return Claim(this, name);
}

void DigestLocks::Release(const std::string& name) {
  MutexLock lock(&mutex_);
  claimed_.erase(name);
  released_.SignalAll();
}

}  // namespace topiary
