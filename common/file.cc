#include "common/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

absl::Status Failure(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

std::string FolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

absl::Status WriteAll(int file, absl::string_view contents, const std::string& path) {
  while (!contents.empty()) {
    const ssize_t count = write(file, contents.data(), contents.size());
    if (count >= 0) {
      contents.remove_prefix(static_cast<size_t>(count));
    } else if (errno != EINTR) {
      return Failure("write", path);
    }
  }
  return absl::OkStatus();
}

// Writes and syncs the temporary file `file`, then gives it the name `path`.
absl::Status FillAndRename(int file, const std::string& temporary, const std::string& path,
                           absl::string_view contents) {
  RETURN_IF_ERROR(WriteAll(file, contents, path));
  if (fchmod(file, 0644) != 0) return Failure("set the mode of", path);
  if (fsync(file) != 0) return Failure("sync", path);
  if (rename(temporary.c_str(), path.c_str()) != 0) return Failure("rename to", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Failure("open", path);
  absl::Cleanup close_file = [file] { close(file); };
  std::string contents;
  constexpr size_t kPiece = 1 << 18;
  while (true) {
    const size_t old_size = contents.size();
    contents.resize(old_size + kPiece);
    const ssize_t count = read(file, &contents[old_size], kPiece);
    contents.resize(old_size + static_cast<size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && errno != EINTR) return Failure("read", path);
    if (contents.size() > max_bytes) {
      return absl::OutOfRangeError(
          absl::StrCat(path, " is larger than the limit of ", max_bytes, " bytes"));
    }
    if (count == 0) return contents;
  }
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents) {
  std::string temporary = absl::StrCat(path, ".tmp-XXXXXX");
  const int file = mkostemp(&temporary[0], O_CLOEXEC);
  if (file < 0) return Failure("create a temporary file for", path);
  const absl::Status written = FillAndRename(file, temporary, path, contents);
  close(file);
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  return SyncFolder(FolderOf(path));
}

absl::Status SyncFolder(const std::string& folder) {
  const int file = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return Failure("open", folder);
  absl::Cleanup close_file = [file] { close(file); };
  if (fsync(file) != 0) return Failure("sync", folder);
  return absl::OkStatus();
}

absl::Status CreateFolders(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat("cannot create folder ", folder));
  }
  return absl::OkStatus();
}

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // Not blocking: a FIFO of this name must not hang the process.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Failure("open", path);
  absl::Cleanup close_file = [file] { close(file); };
  struct stat status;
  if (fstat(file, &status) != 0) return Failure("stat", path);
  if (!S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is not a regular file"));
  }
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) return MappedFile(nullptr, 0);
  void* const address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (address == MAP_FAILED) return Failure("map", path);
  return MappedFile(address, size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(address_, other.address_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (address_ != nullptr) munmap(address_, size_);
}

}  // namespace topiary
