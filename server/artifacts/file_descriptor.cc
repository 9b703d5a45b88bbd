#include "server/artifacts/file_descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "server/jobs/status_reason.h"

namespace topiary {

absl::Status FileError(int error, absl::string_view doing, absl::string_view path) {
  const std::string what = absl::StrCat(doing, " ", path);
  if (error == ENOSPC || error == EDQUOT) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(what, ": the disk is full")),
                      kReasonStoreFull);
  }
  if (error == EIO) return absl::DataLossError(absl::StrCat(what, ": I/O error"));
  return absl::ErrnoToStatus(error, what);
}

absl::StatusOr<FileDescriptor> FileDescriptor::Open(const std::string& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return FileError(errno, "open", path);
  return FileDescriptor(path, descriptor);
}

FileDescriptor::~FileDescriptor() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<struct stat> FileDescriptor::Stat() const {
  struct stat status;
  if (fstat(descriptor_, &status) != 0) return FileError(errno, "stat", path_);
  return status;
}

absl::StatusOr<size_t> FileDescriptor::ReadAt(int64_t offset, absl::Span<char> buffer) const {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = pread(descriptor_, buffer.data() + done, buffer.size() - done,
                            static_cast<off_t>(offset + static_cast<int64_t>(done)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "read", path_);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

absl::Status FileDescriptor::WriteAt(int64_t offset, absl::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError(errno, "write", path_);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return absl::OkStatus();
}

absl::Status FileDescriptor::Truncate(int64_t size) const {
  return ftruncate(descriptor_, size) == 0 ? absl::OkStatus() : FileError(errno, "truncate", path_);
}

absl::Status FileDescriptor::Touch() const {
  return futimens(descriptor_, nullptr) == 0 ? absl::OkStatus() : FileError(errno, "touch", path_);
}

absl::Status FileDescriptor::Sync() const {
  return fsync(descriptor_) == 0 ? absl::OkStatus() : FileError(errno, "sync", path_);
}

}  // namespace topiary
