#ifndef TOPIARY_WORKER_DATA_TESTING_FILE_BUILDER_H_
#define TOPIARY_WORKER_DATA_TESTING_FILE_BUILDER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace topiary {

// Bytes of the files that readers read, for tests.

// An .npy array with this header dictionary and these data; `version` 1 to 3.
std::string NpyBytes(const std::string& dictionary, absl::string_view data, int version = 1);

// An .npy array of little-endian elements: descr "<f4" and so on, shape "(2, 3)".
template <typename T>
std::string NpyOf(const std::string& descr, const std::string& shape, const std::vector<T>& values,
                  bool fortran_order = false) {
  return NpyBytes(
      "{'descr': '" + descr + "', 'fortran_order': " + (fortran_order ? "True" : "False") +
          ", 'shape': " + shape + ", }",
      absl::string_view(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
}

// A zip archive of these files, stored or deflated.
std::string ZipOf(const std::vector<std::pair<std::string, std::string>>& files,
                  bool deflate = false);

// `bytes` as one gzip member.
std::string GzipOf(absl::string_view bytes);

// An IDX file of unsigned bytes.
std::string IdxOf(const std::vector<uint32_t>& dims, absl::string_view bytes, char type = 0x08);

// Writes `bytes` to a new file of this name in the test's temporary folder; its path.
std::string WriteTemp(const std::string& name, absl::string_view bytes);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_TESTING_FILE_BUILDER_H_
