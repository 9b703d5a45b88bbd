#include "worker/data/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <climits>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr size_t kChunk = size_t{1} << 16;
constexpr int kGzip = 16 + MAX_WBITS;
constexpr int kRaw = -MAX_WBITS;

// One zlib stream over bytes in memory.
class Inflater {
 public:
  Inflater(absl::string_view input, int window) : input_(input) {
    ok_ = inflateInit2(&stream_, window) == Z_OK;
  }
  ~Inflater() {
    if (ok_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Appends what the stream up to its end gives, at most `limit` bytes in all.
  absl::Status Run(uint64_t limit, std::string& out) {
    if (!ok_) return absl::ResourceExhaustedError("zlib has no memory");
    int code = Z_OK;
    while (code != Z_STREAM_END) {
      Feed();
      const size_t had = out.size();
      out.resize(had + kChunk);
      stream_.next_out = reinterpret_cast<Bytef*>(&out[had]);
      stream_.avail_out = static_cast<uInt>(kChunk);
      code = inflate(&stream_, Z_NO_FLUSH);
      out.resize(had + kChunk - stream_.avail_out);
      if (out.size() > limit) {
        return absl::ResourceExhaustedError(absl::StrCat("more than ", limit, " bytes inflated"));
      }
      if (code == Z_BUF_ERROR || (code == Z_OK && Starved())) {
        return absl::InvalidArgumentError("the compressed data are cut short");
      }
      if (code != Z_OK && code != Z_STREAM_END) {
        return absl::InvalidArgumentError("the compressed data are damaged");
      }
    }
    return absl::OkStatus();
  }

  // Input that the stream did not use.
  absl::string_view rest() const { return input_.substr(input_.size() - left_ - stream_.avail_in); }

  bool Reset() { return inflateReset(&stream_) == Z_OK; }

 private:
  // zlib counts input in 32 bits.
  void Feed() {
    if (stream_.avail_in > 0) return;
    if (!started_) {
      left_ = input_.size();
      started_ = true;
    }
    const size_t take = std::min<size_t>(left_, UINT_MAX / 2);
    stream_.next_in =
        reinterpret_cast<Bytef*>(const_cast<char*>(input_.data() + (input_.size() - left_)));
    stream_.avail_in = static_cast<uInt>(take);
    left_ -= take;
  }

  // All input is used and there was room for more output: the stream's end is missing.
  bool Starved() const { return stream_.avail_in == 0 && left_ == 0 && stream_.avail_out > 0; }

  const absl::string_view input_;
  size_t left_ = 0;  // Not fed yet.
  bool started_ = false;
  bool ok_ = false;
  z_stream stream_ = {};
};

bool IsGzip(absl::string_view bytes) {
  return bytes.size() >= 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::string> ReadMaybeGzip(const std::string& path, int64_t max_bytes) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view bytes = file.bytes();
  if (!IsGzip(bytes)) {
    if (static_cast<int64_t>(bytes.size()) > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          path, ": it has ", bytes.size(), " bytes; at most ", max_bytes, " are allowed"));
    }
    return std::string(bytes);
  }
  std::string out;
  Inflater inflater(bytes, kGzip);
  while (true) {
    const absl::Status status = inflater.Run(static_cast<uint64_t>(max_bytes), out);
    if (!status.ok()) return InFile(path, status);
    if (inflater.rest().empty()) return out;
    if (!IsGzip(inflater.rest()) || !inflater.Reset()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", inflater.rest().size(), " bytes follow the compressed data"));
    }
  }
}

absl::StatusOr<std::string> InflateRaw(absl::string_view deflated, uint64_t size, uint32_t crc) {
  std::string out;
  Inflater inflater(deflated, kRaw);
  const absl::Status status = inflater.Run(size, out);
  if (absl::IsResourceExhausted(status)) {
    return absl::InvalidArgumentError(
        absl::StrCat("more bytes inflated than the ", size, " announced"));
  }
  RETURN_IF_ERROR(status);
  if (out.size() != size || !inflater.rest().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(out.size(), " bytes inflated where ", size, " are announced"));
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size()) != crc) {
    return absl::InvalidArgumentError("the CRC-32 does not match: the data are damaged");
  }
  return out;
}

}  // namespace topiary
