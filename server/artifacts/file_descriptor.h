#ifndef TOPIARY_SERVER_ARTIFACTS_FILE_DESCRIPTOR_H_
#define TOPIARY_SERVER_ARTIFACTS_FILE_DESCRIPTOR_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace topiary {

// An open file that is closed with its object. Movable; thread-compatible. Errors name the path;
// a full disk is RESOURCE_EXHAUSTED with reason STORE_FULL.
class FileDescriptor {
 public:
  // open(2). NOT_FOUND if there is no such file.
  static absl::StatusOr<FileDescriptor> Open(const std::string& path, int flags);

  FileDescriptor(FileDescriptor&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor();

  absl::StatusOr<struct stat> Stat() const;
  // Reads until the buffer is full or the file ends.
  absl::StatusOr<size_t> ReadAt(int64_t offset, absl::Span<char> buffer) const;
  absl::Status WriteAt(int64_t offset, absl::string_view bytes) const;
  absl::Status Truncate(int64_t size) const;
  absl::Status Sync() const;
  // Sets the time of modification to now.
  absl::Status Touch() const;

 private:
  FileDescriptor(std::string path, int descriptor)
      : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_;
};

// The status of errno, saying what was done to which path.
absl::Status FileError(int error, absl::string_view doing, absl::string_view path);

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_FILE_DESCRIPTOR_H_
