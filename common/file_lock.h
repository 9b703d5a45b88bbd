#ifndef TOPIARY_COMMON_FILE_LOCK_H_
#define TOPIARY_COMMON_FILE_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace topiary {

// A claim on a file that one process at a time can have; the system ends it with the process,
// however that ends. Movable; thread-compatible.
class FileLock {
 public:
  // Creates `path` if need be. FAILED_PRECONDITION if another FileLock, in this process or another,
  // has it; other codes where the file cannot be made or its file system has no locks.
  static absl::StatusOr<FileLock> Acquire(const std::string& path);

  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_FILE_LOCK_H_
