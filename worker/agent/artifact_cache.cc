#include "worker/agent/artifact_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/artifact_transfer.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/file_lock.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot stat ", path));
  }
  return static_cast<int64_t>(file.st_size);
}

}  // namespace

ArtifactCache::Pin::Pin(ArtifactCache* cache, std::string digest, std::string path)
    : cache_(cache), digest_(std::move(digest)), path_(std::move(path)) {}

ArtifactCache::Pin::Pin(Pin&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      digest_(std::move(other.digest_)),
      path_(std::move(other.path_)) {}

ArtifactCache::Pin::~Pin() {
  if (cache_ != nullptr) cache_->Unpin(digest_);
}

absl::StatusOr<std::unique_ptr<ArtifactCache>> ArtifactCache::Open(const std::string& folder,
                                                                   int64_t limit_bytes) {
  RETURN_IF_ERROR(CreateFolders(folder));
  absl::StatusOr<FileLock> lock = FileLock::Acquire(folder + "/lock");
  if (absl::IsFailedPrecondition(lock.status())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the cache ", folder, " is in use by another worker; give each worker a ",
                     "--data-dir of its own"));
  }
  RETURN_IF_ERROR(lock.status());
  std::unique_ptr<ArtifactCache> cache(new ArtifactCache(folder, limit_bytes, *std::move(lock)));
  RETURN_IF_ERROR(cache->Scan());
  return cache;
}

absl::Status ArtifactCache::Scan() {
  struct Found {
    std::filesystem::file_time_type time;
    std::string digest;
    int64_t size;
  };
  std::vector<Found> found;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(folder_, error)) {
    const std::string name = file.path().filename().string();
    std::error_code ignored;
    if (absl::EndsWith(name, ".partial")) std::filesystem::remove(file.path(), ignored);
    if (!IsSha256Hex(name) || !file.is_regular_file(ignored)) continue;
    ASSIGN_OR_RETURN(const int64_t size, FileSize(file.path().string()));
    found.push_back({file.last_write_time(ignored), name, size});
  }
  if (error) {
    return absl::InternalError(absl::StrCat("cannot list ", folder_, ": ", error.message()));
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(a.time, a.digest) < std::tie(b.time, b.digest);
  });
  MutexLock lock(&mutex_);
  for (Found& file : found) {
    Entry& entry = entries_[file.digest];
    entry.size = file.size;
    entry.age = ages_.insert(ages_.end(), file.digest);
    size_bytes_ += file.size;
  }
  Evict();
  return absl::OkStatus();
}

absl::StatusOr<ArtifactCache::Pin> ArtifactCache::Get(const std::string& digest, const Fetch& fetch,
                                                      Cancellation* cancellation) {
  if (!IsSha256Hex(digest)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", digest, "\" is no SHA-256"));
  }
  ASSIGN_OR_RETURN(const Claim claim, PinOrClaim(digest, cancellation));
  if (claim == Claim::kPinned) return Pin(this, digest, PathOf(digest));
  // Also where it throws, for lack of memory: whoever waits must not wait for ever.
  absl::Cleanup abandon = [this, &digest] { Abandon(digest); };
  absl::StatusOr<Pin> pin = Bring(digest, claim, fetch);
  if (pin.ok()) std::move(abandon).Cancel();
  return pin;
}

absl::StatusOr<ArtifactCache::Pin> ArtifactCache::Bring(const std::string& digest, Claim claim,
                                                        const Fetch& fetch) {
  const std::string path = PathOf(digest);
  if (claim == Claim::kFetch || Sha256HexOfFile(path).value_or("") != digest) {
    const absl::Status fetched = fetch(digest, path);
    if (!fetched.ok()) {
      // A part that nobody may come back for is not counted, and must not fill the disk.
      if (absl::IsCancelled(fetched)) unlink(PartialPath(path, digest).c_str());
      return fetched;
    }
  }
  ASSIGN_OR_RETURN(const int64_t size, FileSize(path));
  MutexLock lock(&mutex_);
  Entry& entry = entries_[digest];
  entry.fetching = false;
  entry.verified = true;
  entry.size = size;
  entry.pins = 1;
  entry.age = ages_.insert(ages_.end(), digest);
  size_bytes_ += size;
  Evict();
  fetched_.SignalAll();
  return Pin(this, digest, path);
}

absl::StatusOr<ArtifactCache::Claim> ArtifactCache::PinOrClaim(const std::string& digest,
                                                               Cancellation* cancellation) {
  constexpr absl::Duration kLookAgain = absl::Milliseconds(100);
  MutexLock lock(&mutex_);
  auto found = entries_.find(digest);
  while (found != entries_.end() && found->second.fetching) {
    if (IsCancelled(cancellation)) return absl::CancelledError("stopped");
    fetched_.WaitWithTimeout(&mutex_, kLookAgain);
    found = entries_.find(digest);
  }
  if (found == entries_.end()) {
    entries_[digest].fetching = true;
    return Claim::kFetch;
  }
  Entry& entry = found->second;
  // Somebody may have cleaned up the folder.
  if (entry.pins > 0 || (entry.verified && access(PathOf(digest).c_str(), R_OK) == 0)) {
    ++entry.pins;
    Touch(&entry);
    return Claim::kPinned;
  }
  size_bytes_ -= entry.size;
  ages_.erase(entry.age);
  entry = Entry();
  entry.fetching = true;
  return Claim::kCompare;
}

void ArtifactCache::Abandon(const std::string& digest) {
  MutexLock lock(&mutex_);
  entries_.erase(digest);
  fetched_.SignalAll();
}

int64_t ArtifactCache::size_bytes() const {
  MutexLock lock(&mutex_);
  return size_bytes_;
}

void ArtifactCache::Touch(Entry* entry) {
  ages_.splice(ages_.end(), ages_, entry->age);
  // The order of use outlives the process in the files' times.
  utimensat(AT_FDCWD, PathOf(*entry->age).c_str(), nullptr, 0);
}

void ArtifactCache::Evict() {
  for (auto age = ages_.begin(); age != ages_.end() && size_bytes_ > limit_bytes_;) {
    const auto found = entries_.find(*age);
    if (found->second.pins > 0) {
      ++age;
      continue;
    }
    unlink(PathOf(*age).c_str());
    size_bytes_ -= found->second.size;
    entries_.erase(found);
    age = ages_.erase(age);
  }
}

void ArtifactCache::Unpin(const std::string& digest) {
  MutexLock lock(&mutex_);
  --entries_[digest].pins;
  Evict();
}

}  // namespace topiary
