#include "worker/export/npz_writer.h"

#include <zlib.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace topiary {
namespace {

void AppendInteger(uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

// The .npy format, version 1.0: magic, length of a text header padded to 64 bytes, the header, the
// elements.
std::string NpyBytes(const Tensor& array) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (const int64_t extent : array.shape().dims()) absl::StrAppend(&header, extent, ", ");
  header += "), }";
  constexpr size_t kBeforeHeader = 10;
  header.append((64 - (kBeforeHeader + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  AppendInteger(header.size(), 2, &bytes);
  bytes += header;
  bytes.append(static_cast<const char*>(array.raw_data()), array.byte_size());
  return bytes;
}

// What the local header and the central directory say alike about a stored file.
void AppendEntry(absl::string_view name, absl::string_view contents, std::string* out) {
  AppendInteger(20, 2, out);      // Version needed: 2.0.
  AppendInteger(0, 2, out);       // Flags.
  AppendInteger(0, 2, out);       // Stored.
  AppendInteger(0, 2, out);       // Midnight
  AppendInteger(0x0021, 2, out);  // of 1980-01-01.
  const auto* data = reinterpret_cast<const Bytef*>(contents.data());
  AppendInteger(crc32_z(crc32_z(0, nullptr, 0), data, contents.size()), 4, out);
  AppendInteger(contents.size(), 4, out);
  AppendInteger(contents.size(), 4, out);
  AppendInteger(name.size(), 2, out);
  AppendInteger(0, 2, out);  // No extra field.
}

}  // namespace

absl::Status WriteNpz(absl::string_view array_name, const Tensor& array, const std::string& path) {
  if (array.dtype() != DType::kFloat32 || array.byte_size() > size_t{kMaxNpzBytes}) {
    return absl::InvalidArgumentError(
        absl::StrCat("array '", array_name, "' of ", DTypeName(array.dtype()),
                     array.shape().ToString(), " does not fit an .npz file of less than 4 GiB"));
  }
  const std::string name = absl::StrCat(array_name, ".npy");
  const std::string contents = NpyBytes(array);
  std::string zip = "PK\x03\x04";
  AppendEntry(name, contents, &zip);
  zip += name;
  zip += contents;
  const size_t directory = zip.size();
  zip += "PK\x01\x02";
  AppendInteger(20, 2, &zip);  // Made by version 2.0.
  AppendEntry(name, contents, &zip);
  AppendInteger(0, 2, &zip);  // Comment.
  AppendInteger(0, 2, &zip);  // Disk.
  AppendInteger(0, 2, &zip);  // Internal attributes.
  AppendInteger(0, 4, &zip);  // External attributes.
  AppendInteger(0, 4, &zip);  // Offset of the local header.
  zip += name;
  const size_t directory_bytes = zip.size() - directory;
  zip += "PK\x05\x06";
  AppendInteger(0, 2, &zip);  // This disk.
  AppendInteger(0, 2, &zip);  // Disk of the directory.
  AppendInteger(1, 2, &zip);  // Entries on this disk,
  AppendInteger(1, 2, &zip);  // and in all.
  AppendInteger(directory_bytes, 4, &zip);
  AppendInteger(directory, 4, &zip);
  AppendInteger(0, 2, &zip);  // Comment.
  return WriteFileAtomically(path, zip);
}

}  // namespace topiary
