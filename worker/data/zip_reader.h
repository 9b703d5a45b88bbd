#ifndef TOPIARY_WORKER_DATA_ZIP_READER_H_
#define TOPIARY_WORKER_DATA_ZIP_READER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// A file in a zip archive, as its central directory says.
struct ZipEntry {
  std::string name;
  uint16_t method = 0;           // 0: stored, 8: deflate.
  uint32_t crc = 0;              // CRC-32 of the contents.
  uint64_t compressed_size = 0;  // In bytes.
  uint64_t size = 0;             // Of the contents, in bytes.
  uint64_t header_offset = 0;    // Of the local header, from the archive's start.
};

// The files of a zip archive (with zip64 sizes, not split over disks, not encrypted), in the order
// of its central directory. `archive` is not trusted: INVALID_ARGUMENT where it is damaged,
// has a name twice, or entries share bytes; RESOURCE_EXHAUSTED above 10,000 entries.
absl::StatusOr<std::vector<ZipEntry>> ListZip(absl::string_view archive);

// The contents of `entry`, one of ListZip(archive). RESOURCE_EXHAUSTED above `max_bytes`;
// INVALID_ARGUMENT where they do not match size or CRC-32; UNIMPLEMENTED for another method.
absl::StatusOr<std::string> ReadZipEntry(absl::string_view archive, const ZipEntry& entry,
                                         uint64_t max_bytes);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_ZIP_READER_H_
