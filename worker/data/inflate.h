#ifndef TOPIARY_WORKER_DATA_INFLATE_H_
#define TOPIARY_WORKER_DATA_INFLATE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// The file's contents, inflated if it is a gzip file (known by its first two bytes, not by its
// name; several members in a row are one file, as gzip itself has it).
// INVALID_ARGUMENT: gzip data that are damaged or cut short, or bytes after them.
// RESOURCE_EXHAUSTED: more than `max_bytes` once inflated. Messages name the file.
absl::StatusOr<std::string> ReadMaybeGzip(const std::string& path, int64_t max_bytes);

// Inflates raw deflate data that must give exactly `size` bytes, whose CRC-32 is `crc`.
// INVALID_ARGUMENT where they do not. The caller has checked `size` against its limits; memory
// grows with what is really inflated.
absl::StatusOr<std::string> InflateRaw(absl::string_view deflated, uint64_t size, uint32_t crc);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_INFLATE_H_
