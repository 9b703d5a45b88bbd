#ifndef TOPIARY_SERVER_ARTIFACTS_DIGEST_LOCKS_H_
#define TOPIARY_SERVER_ARTIFACTS_DIGEST_LOCKS_H_

#include <set>
#include <string>
#include <utility>

#include "common/mutex.h"

namespace topiary {

// Exclusive claims on names (digests, upload ids), each held across I/O by one thread at a time. It
// keeps garbage collection from deleting bytes that are just being given a record. Thread-safe.
class DigestLocks {
 public:
  // A held claim; released by its destructor.
  class Claim {
   public:
    Claim(DigestLocks* locks, std::string name) : locks_(locks), name_(std::move(name)) {}
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    ~Claim() { locks_->Release(name_); }

   private:
    DigestLocks* const locks_;
    const std::string name_;
  };

  // Waits until nobody else has a claim on `name`. Claim one name at a time: no order is kept.
  Claim Acquire(const std::string& name);

 private:
  void Release(const std::string& name);

  Mutex mutex_;
  CondVar released_;
  std::set<std::string> claimed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_DIGEST_LOCKS_H_
