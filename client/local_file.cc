#include "client/local_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace topiary {
namespace {

constexpr absl::string_view kMark = "topiary.client/local_file";

// What the last failed system call on `path` said.
absl::Status SystemError(absl::string_view what, const std::string& path) {
  return LocalFileError(absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path)));
}

template <typename Call>
auto Restarting(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

bool IsSameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::Status LocalFileError(absl::Status status) {
  status.SetPayload(kMark, absl::Cord());
  return status;
}

bool IsLocalFileError(const absl::Status& status) { return status.GetPayload(kMark).has_value(); }

absl::StatusOr<LocalFile> LocalFile::OpenForReading(const std::string& path) {
  // Non-blocking, or opening a pipe would wait for a writer.
  const int fd = Restarting([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (fd < 0) return SystemError("open", path);
  LocalFile file(path, fd);
  struct stat info;
  if (fstat(fd, &info) != 0) return SystemError("look at", path);
  if (!S_ISREG(info.st_mode)) {
    return LocalFileError(
        absl::InvalidArgumentError(absl::StrCat(path, " is not an ordinary file")));
  }
  return file;
}

absl::StatusOr<LocalFile> LocalFile::OpenExclusively(const std::string& path) {
  // The one who had the lock may have renamed the file meanwhile: then it is another one by now.
  for (int tries = 0; tries < 10; ++tries) {
    const int fd = Restarting(
        [&] { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644); });
    if (fd < 0) return SystemError("open", path);
    LocalFile file(path, fd);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) break;
    struct stat opened;
    struct stat named;
    if (fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 && IsSameFile(opened, named)) {
      return file;
    }
  }
  return LocalFileError(absl::UnavailableError(absl::StrCat("another process is writing ", path)));
}

LocalFile::LocalFile(LocalFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

LocalFile& LocalFile::operator=(LocalFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

LocalFile::~LocalFile() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<int64_t> LocalFile::Size() const {
  struct stat info;
  if (fstat(fd_, &info) != 0) return SystemError("look at", path_);
  return static_cast<int64_t>(info.st_size);
}

absl::StatusOr<std::string> LocalFile::ReadAt(int64_t offset, int64_t size) const {
  std::string bytes(size, '\0');
  int64_t got = 0;
  while (got < size) {
    const ssize_t n = Restarting([&] { return pread(fd_, &bytes[got], size - got, offset + got); });
    if (n < 0) return SystemError("read", path_);
    if (n == 0) break;
    got += n;
  }
  bytes.resize(got);
  return bytes;
}

absl::Status LocalFile::WriteAt(int64_t offset, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = Restarting([&] { return pwrite(fd_, bytes.data(), bytes.size(), offset); });
    if (n < 0) return SystemError("write", path_);
    offset += n;
    bytes.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status LocalFile::Truncate(int64_t size) {
  if (Restarting([&] { return ftruncate(fd_, size); }) != 0) return SystemError("cut", path_);
  return absl::OkStatus();
}

absl::Status LocalFile::MoveTo(const std::string& path) {
  if (fsync(fd_) != 0) return SystemError("write", path_);
  if (rename(path_.c_str(), path.c_str()) != 0) return SystemError("write", path);
  path_ = path;
  return LocalFileError(SyncFolder(FolderOf(path)));
}

}  // namespace topiary
