#ifndef TOPIARY_COMMON_FILE_H_
#define TOPIARY_COMMON_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Whole files, read and written so that a crash leaves the old contents or the new ones, never a
// mixture. Errors carry errno's code (NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED for a full
// disk, ...) and name the file. Functions are thread-safe.

namespace topiary {

// The file's contents. OUT_OF_RANGE if it is larger than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t max_bytes = uint64_t{1} << 32);

// Replaces or creates `path`: writes a temporary file beside it, syncs it, renames it, syncs the
// folder. When it returns OK the contents survive a power cut.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

// Makes the entries of `folder` durable: for callers that rename or remove files themselves.
absl::Status SyncFolder(const std::string& folder);

// Creates `folder` and its missing parents.
absl::Status CreateFolders(const std::string& folder);

// A file mapped for reading: its bytes cost no memory until they are touched. The file must not be
// shortened while it is mapped. Movable; thread-safe once open.
class MappedFile {
 public:
  // FAILED_PRECONDITION if `path` is not a regular file.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // Valid as long as this object, or the one it was moved to, lives.
  absl::string_view bytes() const { return {static_cast<const char*>(address_), size_}; }

 private:
  MappedFile(void* address, size_t size) : address_(address), size_(size) {}
  void* address_ = nullptr;  // Null for an empty file.
  size_t size_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_COMMON_FILE_H_
