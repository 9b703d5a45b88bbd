#include "worker/data/testing/file_builder.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>

namespace topiary {
namespace {

void Append(std::string& out, uint64_t value, int width) {
  for (int i = 0; i < width; ++i, value >>= 8) out.push_back(static_cast<char>(value & 0xFF));
}

std::string Deflate(absl::string_view bytes, int window) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(&out[0]);
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

std::string NpyBytes(const std::string& dictionary, absl::string_view data, int version) {
  const size_t prefix = version == 1 ? 10 : 12;
  std::string header = dictionary;
  while ((prefix + header.size() + 1) % 64 != 0) header.push_back(' ');
  header.push_back('\n');
  std::string out = "\x93NUMPY";
  out.push_back(static_cast<char>(version));
  out.push_back('\0');
  Append(out, header.size(), version == 1 ? 2 : 4);
  return out + header + std::string(data);
}

std::string ZipOf(const std::vector<std::pair<std::string, std::string>>& files, bool deflate) {
  std::string out;
  std::string directory;
  for (const auto& [name, contents] : files) {
    const std::string data = deflate ? Deflate(contents, -MAX_WBITS) : contents;
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(contents.data()), contents.size());
    std::string common;  // What the local header and the directory's entry share.
    Append(common, 20, 2);
    Append(common, 0, 2);
    Append(common, deflate ? 8 : 0, 2);
    Append(common, 0, 4);
    Append(common, crc, 4);
    Append(common, data.size(), 4);
    Append(common, contents.size(), 4);
    Append(common, name.size(), 2);
    Append(common, 0, 2);
    Append(directory, 0x02014b50, 4);
    Append(directory, 20, 2);
    directory += common;
    Append(directory, 0, 10);
    Append(directory, out.size(), 4);
    directory += name;
    Append(out, 0x04034b50, 4);
    out += common;
    out += name;
    out += data;
  }
  const size_t offset = out.size();
  out += directory;
  Append(out, 0x06054b50, 4);
  Append(out, 0, 4);
  Append(out, files.size(), 2);
  Append(out, files.size(), 2);
  Append(out, directory.size(), 4);
  Append(out, offset, 4);
  Append(out, 0, 2);
  return out;
}

std::string GzipOf(absl::string_view bytes) { return Deflate(bytes, 16 + MAX_WBITS); }

std::string IdxOf(const std::vector<uint32_t>& dims, absl::string_view bytes, char type) {
  std::string out("\0\0", 2);
  out.push_back(type);
  out.push_back(static_cast<char>(dims.size()));
  for (uint32_t d : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(d >> shift));
  }
  return out + std::string(bytes);
}

std::string WriteTemp(const std::string& name, absl::string_view bytes) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

}  // namespace topiary
