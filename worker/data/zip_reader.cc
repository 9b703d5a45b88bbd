#include "worker/data/zip_reader.h"

#include <zlib.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/inflate.h"

namespace topiary {
namespace {

// APPNOTE.TXT, sections 4.3.7 to 4.3.16.
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr uint32_t kEntrySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kLocator64Bytes = 20;
constexpr size_t kEnd64Bytes = 56;
constexpr size_t kEntryBytes = 46;
constexpr size_t kLocalBytes = 30;
constexpr size_t kMaxComment = 65535;
constexpr uint64_t kMaxEntries = 10000;
constexpr uint32_t kSee64 = 0xFFFFFFFF;

// Little-endian number of `width` bytes; `at` + `width` must be in `bytes`.
uint64_t Number(absl::string_view bytes, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) {
    value |= uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return value;
}

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the zip archive is damaged: ", what));
}

struct Directory {
  uint64_t entries;
  uint64_t offset;
  uint64_t size;
};

// The place of the end record: the last one whose comment reaches the end of the file.
absl::StatusOr<size_t> FindEnd(absl::string_view archive) {
  if (archive.size() < kEndBytes) {
    return absl::InvalidArgumentError("it is no zip archive, or one cut short");
  }
  const size_t last = archive.size() - kEndBytes;
  for (size_t back = 0; back <= std::min(last, kMaxComment); ++back) {
    const size_t at = last - back;
    if (Number(archive, at, 4) == kEndSignature && Number(archive, at + 20, 2) == back) return at;
  }
  return absl::InvalidArgumentError("it is no zip archive, or one cut short");
}

absl::StatusOr<Directory> FindDirectory(absl::string_view archive) {
  ASSIGN_OR_RETURN(const size_t end, FindEnd(archive));
  Directory directory = {Number(archive, end + 10, 2), Number(archive, end + 16, 4),
                         Number(archive, end + 12, 4)};
  const bool has_64 =
      end >= kLocator64Bytes && Number(archive, end - kLocator64Bytes, 4) == kLocator64Signature;
  if (has_64) {
    const uint64_t at = Number(archive, end - kLocator64Bytes + 8, 8);
    if (at > archive.size() || archive.size() - at < kEnd64Bytes ||
        Number(archive, at, 4) != kEnd64Signature) {
      return Damaged("its zip64 end record is missing");
    }
    directory = {Number(archive, at + 32, 8), Number(archive, at + 48, 8),
                 Number(archive, at + 40, 8)};
  }
  if (directory.entries > kMaxEntries) {
    return absl::ResourceExhaustedError(absl::StrCat("the zip archive has ", directory.entries,
                                                     " entries; at most ", kMaxEntries,
                                                     " are allowed"));
  }
  if (directory.offset > end || directory.size > end - directory.offset) {
    return Damaged("its directory lies outside it");
  }
  return directory;
}

// Replaces sizes that say "see the zip64 field" by those of that field.
absl::Status ReadExtra(absl::string_view extra, ZipEntry& entry) {
  while (extra.size() >= 4) {
    const uint64_t id = Number(extra, 0, 2);
    const uint64_t length = Number(extra, 2, 2);
    if (length > extra.size() - 4) return Damaged("an extra field is cut short");
    absl::string_view body = extra.substr(4, length);
    extra.remove_prefix(4 + length);
    if (id != 1) continue;
    for (uint64_t* value : {&entry.size, &entry.compressed_size, &entry.header_offset}) {
      if (*value != kSee64) continue;
      if (body.size() < 8) return Damaged("a zip64 field is cut short");
      *value = Number(body, 0, 8);
      body.remove_prefix(8);
    }
  }
  return absl::OkStatus();
}

// Reads one entry of the directory and moves `directory` behind it.
absl::StatusOr<ZipEntry> ReadDirectoryEntry(absl::string_view& directory) {
  if (directory.size() < kEntryBytes || Number(directory, 0, 4) != kEntrySignature) {
    return Damaged("an entry of its directory is missing");
  }
  ZipEntry entry;
  const uint64_t flags = Number(directory, 8, 2);
  entry.method = static_cast<uint16_t>(Number(directory, 10, 2));
  entry.crc = static_cast<uint32_t>(Number(directory, 16, 4));
  entry.compressed_size = Number(directory, 20, 4);
  entry.size = Number(directory, 24, 4);
  entry.header_offset = Number(directory, 42, 4);
  const uint64_t name_length = Number(directory, 28, 2);
  const uint64_t extra_length = Number(directory, 30, 2);
  const uint64_t comment_length = Number(directory, 32, 2);
  directory.remove_prefix(kEntryBytes);
  if (name_length + extra_length + comment_length > directory.size()) {
    return Damaged("an entry of its directory is cut short");
  }
  entry.name = std::string(directory.substr(0, name_length));
  RETURN_IF_ERROR(ReadExtra(directory.substr(name_length, extra_length), entry));
  directory.remove_prefix(name_length + extra_length + comment_length);
  if ((flags & 1) != 0) {
    return absl::UnimplementedError(absl::StrCat("entry '", entry.name, "' is encrypted"));
  }
  return entry;
}

// Entries that share bytes let a small archive announce any amount of data.
absl::Status CheckApart(std::vector<ZipEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const ZipEntry& a, const ZipEntry& b) { return a.header_offset < b.header_offset; });
  for (size_t i = 1; i < entries.size(); ++i) {
    const ZipEntry& before = entries[i - 1];
    if (entries[i].header_offset - before.header_offset < kLocalBytes + before.compressed_size) {
      return Damaged(
          absl::StrCat("entries '", before.name, "' and '", entries[i].name, "' overlap"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ZipEntry>> ListZip(absl::string_view archive) {
  ASSIGN_OR_RETURN(const Directory place, FindDirectory(archive));
  absl::string_view directory = archive.substr(place.offset, place.size);
  std::vector<ZipEntry> entries;
  std::set<std::string> names;
  for (uint64_t i = 0; i < place.entries; ++i) {
    ASSIGN_OR_RETURN(ZipEntry entry, ReadDirectoryEntry(directory));
    if (!names.insert(entry.name).second) {
      return Damaged(absl::StrCat("it has the entry '", entry.name, "' twice"));
    }
    if (entry.header_offset > place.offset ||
        entry.compressed_size > place.offset - entry.header_offset) {
      return Damaged(absl::StrCat("entry '", entry.name, "' lies outside it"));
    }
    entries.push_back(std::move(entry));
  }
  RETURN_IF_ERROR(CheckApart(entries));
  return entries;
}

absl::StatusOr<std::string> ReadZipEntry(absl::string_view archive, const ZipEntry& entry,
                                         uint64_t max_bytes) {
  if (entry.size > max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("entry '", entry.name, "' has ", entry.size,
                                                     " bytes; at most ", max_bytes,
                                                     " are allowed"));
  }
  if (entry.header_offset > archive.size() || archive.size() - entry.header_offset < kLocalBytes ||
      Number(archive, entry.header_offset, 4) != kLocalSignature) {
    return Damaged(absl::StrCat("entry '", entry.name, "' has no local header"));
  }
  const uint64_t start = entry.header_offset + kLocalBytes +
                         Number(archive, entry.header_offset + 26, 2) +
                         Number(archive, entry.header_offset + 28, 2);
  if (start > archive.size() || entry.compressed_size > archive.size() - start) {
    return Damaged(absl::StrCat("entry '", entry.name, "' is cut short"));
  }
  const absl::string_view data = archive.substr(start, entry.compressed_size);
  if (entry.method == 8) return InflateRaw(data, entry.size, entry.crc);
  if (entry.method != 0) {
    return absl::UnimplementedError(absl::StrCat("entry '", entry.name,
                                                 "' is compressed by method ", entry.method,
                                                 "; supported are stored (0) and deflate (8)"));
  }
  if (data.size() != entry.size ||
      crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()) != entry.crc) {
    return Damaged(absl::StrCat("entry '", entry.name, "' does not match its size or CRC-32"));
  }
  return std::string(data);
}

}  // namespace topiary
