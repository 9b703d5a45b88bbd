#include "worker/model/external_data.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "common/utf8.h"

namespace topiary {
namespace {

constexpr size_t kMaxFiles = 256;
constexpr size_t kMaxLocationBytes = 4096;

absl::Status Refuse(const std::string& location, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("external data '", location, "' ", why,
                   "; it must be a regular file in the model's own folder"));
}

absl::StatusOr<std::vector<std::string>> Parts(const std::string& location) {
  if (location.empty() || location.size() > kMaxLocationBytes || !IsPrintableUtf8(location)) {
    return absl::InvalidArgumentError("the location of external data is not a file name");
  }
  std::vector<std::string> parts = absl::StrSplit(location, '/');
  if (parts[0].empty()) return Refuse(location, "is an absolute path");
  if (parts[0] == "." && parts.size() > 1)
    parts.erase(parts.begin());  // "./weights.bin" is common.
  for (const std::string& part : parts) {
    if (part.empty() || part == "." || part == "..") {
      return Refuse(location, absl::StrCat("has the part '", part, "'"));
    }
  }
  return parts;
}

absl::Status OpenError(const std::string& location) {
  if (errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat("external data '", location,
                                            "' is not beside the model; upload it with the model"));
  }
  if (errno == ELOOP || errno == ENOTDIR) return Refuse(location, "leads through a symbolic link");
  return absl::UnavailableError(
      absl::StrCat("external data '", location, "' cannot be opened: ", std::strerror(errno)));
}

}  // namespace

ExternalData::~ExternalData() {
  for (const auto& [name, file] : files_) close(file.descriptor);
}

absl::StatusOr<ExternalData::File> ExternalData::Open(const std::string& location) {
  if (!folder_.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it lies in another file, '", location, "', and must be in the model itself"));
  }
  const auto known = files_.find(location);
  if (known != files_.end()) return known->second;
  if (files_.size() >= kMaxFiles) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the model's weights lie in more than ", kMaxFiles, " files"));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> parts, Parts(location));
  // Part by part, so that no symbolic link is followed anywhere below the folder.
  int at = open(folder_->empty() ? "." : folder_->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (size_t i = 0; at >= 0 && i < parts.size(); ++i) {
    const int kind = i + 1 < parts.size() ? O_DIRECTORY : O_NONBLOCK;
    const int next = openat(at, parts[i].c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind);
    const int error = errno;
    close(at);
    errno = error;
    at = next;
  }
  if (at < 0) return OpenError(location);
  struct stat status;
  if (fstat(at, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(at);
    return Refuse(location, "is not a regular file");
  }
  const File file = {at, status.st_size};
  files_[location] = file;
  return file;
}

absl::Status ExternalData::Check(const std::string& location, int64_t offset, int64_t length) {
  ASSIGN_OR_RETURN(const File file, Open(location));
  if (offset < 0 || length < 0 || offset > file.size || length > file.size - offset) {
    return absl::InvalidArgumentError(absl::StrCat("external data '", location, "' has ", file.size,
                                                   " bytes; bytes ", offset, " to ", offset, " + ",
                                                   length, " are not in it"));
  }
  return absl::OkStatus();
}

absl::Status ExternalData::Read(const std::string& location, int64_t offset, absl::Span<char> to) {
  RETURN_IF_ERROR(Check(location, offset, static_cast<int64_t>(to.size())));
  const int descriptor = files_[location].descriptor;
  while (!to.empty()) {
    const ssize_t got = pread(descriptor, to.data(), to.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::UnavailableError(
          absl::StrCat("external data '", location, "' cannot be read at byte ", offset, ": ",
                       got == 0 ? "it became shorter" : std::strerror(errno)));
    }
    to.remove_prefix(static_cast<size_t>(got));
    offset += got;
  }
  return absl::OkStatus();
}

}  // namespace topiary
