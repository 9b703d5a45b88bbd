#ifndef TOPIARY_WORKER_MODEL_EXTERNAL_DATA_H_
#define TOPIARY_WORKER_MODEL_EXTERNAL_DATA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace topiary {

// Reads weights that lie beside a model, and nothing else: locations come from the model, which is
// not trusted. Keeps each file open until it is destroyed. Not copyable; thread-compatible.
class ExternalData {
 public:
  // `folder`: where the model lies; nullopt where it is no file, and has no weights beside it.
  explicit ExternalData(std::optional<std::string> folder) : folder_(std::move(folder)) {}
  ~ExternalData();
  ExternalData(const ExternalData&) = delete;
  ExternalData& operator=(const ExternalData&) = delete;

  // Checks that [offset, offset + length) lies in the file `location`, relative to the folder.
  // INVALID_ARGUMENT: `location` is absolute, has an empty, "." or ".." part, leads through a
  // symbolic link or is no regular file; the range leaves the file; or there is no folder.
  // NOT_FOUND: no such file.
  absl::Status Check(const std::string& location, int64_t offset, int64_t length);

  // Check(), then fills `to` from `offset` on.
  absl::Status Read(const std::string& location, int64_t offset, absl::Span<char> to);

 private:
  struct File {
    int descriptor;
    int64_t size;
  };
  absl::StatusOr<File> Open(const std::string& location);

  const std::optional<std::string> folder_;
  std::map<std::string, File> files_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_EXTERNAL_DATA_H_
