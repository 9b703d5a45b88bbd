#ifndef TOPIARY_WORKER_AGENT_ARTIFACT_CACHE_H_
#define TOPIARY_WORKER_AGENT_ARTIFACT_CACHE_H_

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cancellation.h"
#include "common/file_lock.h"
#include "common/mutex.h"

namespace topiary {

// Artifacts on this machine's disk, one file per digest, so that a second job on the same data
// fetches nothing. Files in use are pinned; when the rest is more than the limit allows, the
// one used longest ago goes first. Survives restarts: what was there before is compared with its
// digest when first used. Thread-safe; no lock is held while fetching.
class ArtifactCache {
 public:
  // Writes the artifact of this digest to this path, whole and checked, or fails.
  using Fetch = std::function<absl::Status(const std::string& digest, const std::string& path)>;

  // Keeps a file from being dropped for as long as it lives.
  class Pin {
   public:
    Pin(ArtifactCache* cache, std::string digest, std::string path);
    ~Pin();
    Pin(Pin&& other) noexcept;
    Pin& operator=(Pin&&) = delete;
    const std::string& path() const { return path_; }

   private:
    ArtifactCache* cache_;
    std::string digest_;
    std::string path_;
  };

  // Uses `folder`, which is made where it does not exist, for itself alone: FAILED_PRECONDITION
  // while another process has it. What lies there from before and has a digest's name is kept.
  // Downloads that an earlier process did not finish are removed.
  static absl::StatusOr<std::unique_ptr<ArtifactCache>> Open(const std::string& folder,
                                                             int64_t limit_bytes);
  ArtifactCache(const ArtifactCache&) = delete;
  ArtifactCache& operator=(const ArtifactCache&) = delete;

  // The file with these bytes, fetched if it is not here. One fetch at a time per digest: others
  // that want it wait, and try themselves where it failed; CANCELLED if `cancellation`, which may
  // be null, is cancelled meanwhile. The cache may exceed its limit while everything in it is
  // pinned.
  absl::StatusOr<Pin> Get(const std::string& digest, const Fetch& fetch,
                          Cancellation* cancellation = nullptr);

  int64_t size_bytes() const;

  // Where the file of this digest lies, if it is here.
  std::string PathOf(const std::string& digest) const { return folder_ + "/" + digest; }

 private:
  struct Entry {
    int64_t size = 0;
    int pins = 0;
    bool fetching = false;
    bool verified = false;
    std::list<std::string>::iterator age;  // Valid where the file is here.
  };

  ArtifactCache(std::string folder, int64_t limit_bytes, FileLock lock)
      : folder_(std::move(folder)), limit_bytes_(limit_bytes), lock_(std::move(lock)) {}
  absl::Status Scan();
  enum class Claim { kPinned, kCompare, kFetch };
  // Pins the file if it is here and known to be right. Otherwise marks it as being fetched by the
  // caller, who has to compare it first where it is here.
  absl::StatusOr<Claim> PinOrClaim(const std::string& digest, Cancellation* cancellation);
  // Brings the file, and then pins it; the entry was claimed.
  absl::StatusOr<Pin> Bring(const std::string& digest, Claim claim, const Fetch& fetch);
  void Touch(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Evict() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpin(const std::string& digest);
  // Ends a claim that brought nothing.
  void Abandon(const std::string& digest);

  const std::string folder_;
  const int64_t limit_bytes_;
  const FileLock lock_;
  mutable Mutex mutex_;
  CondVar fetched_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::list<std::string> ages_ ABSL_GUARDED_BY(mutex_);  // Digests, used longest ago first.
  int64_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_ARTIFACT_CACHE_H_
