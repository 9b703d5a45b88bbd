#ifndef TOPIARY_CLIENT_LOCAL_FILE_H_
#define TOPIARY_CLIENT_LOCAL_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// Marks an error as one of a file of this machine, so that it is not taken for an answer of a
// server of the same code. OK stays OK.
absl::Status LocalFileError(absl::Status status);
template <typename T>
absl::StatusOr<T> LocalFileError(absl::StatusOr<T> result) {
  if (!result.ok()) return LocalFileError(result.status());
  return result;
}
bool IsLocalFileError(const absl::Status& status);

// A file of this machine, read and written at offsets. Errors name the file, and are marked as
// LocalFileError()s: NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk full) and what else
// absl::ErrnoToStatus() makes of them. Movable; thread-compatible.
class LocalFile {
 public:
  // INVALID_ARGUMENT for what is not an ordinary file.
  static absl::StatusOr<LocalFile> OpenForReading(const std::string& path);

  // Made if missing, never truncated, symbolic links not followed, and locked against other
  // processes that open it so: UNAVAILABLE while one has it.
  static absl::StatusOr<LocalFile> OpenExclusively(const std::string& path);

  LocalFile(LocalFile&& other) noexcept;
  LocalFile& operator=(LocalFile&& other) noexcept;
  ~LocalFile();

  absl::StatusOr<int64_t> Size() const;

  // At most `size` bytes from `offset`; fewer only at the end of the file.
  absl::StatusOr<std::string> ReadAt(int64_t offset, int64_t size) const;

  absl::Status WriteAt(int64_t offset, absl::string_view bytes);
  absl::Status Truncate(int64_t size);

  // Makes the file durable under the name `path`, in the same folder, in place of what is there.
  absl::Status MoveTo(const std::string& path);

  const std::string& path() const { return path_; }

 private:
  LocalFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_LOCAL_FILE_H_
