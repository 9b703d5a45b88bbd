#include "worker/data/zip_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/status_matchers.h"
#include "worker/data/testing/file_builder.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

void Put(std::string& bytes, size_t at, uint64_t value, int width) {
  for (int i = 0; i < width; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i) & 0xFF);
}

// The directory of a one-file archive starts behind the 30 bytes of the local header, name, data.
constexpr size_t kDirectory = 30 + 1 + 4;
std::string OneFile() { return ZipOf({{"a", "data"}}); }

TEST(ZipReader, AnArchiveCommentIsPassedOver) {
  std::string archive = OneFile();
  Put(archive, archive.size() - 2, 5, 2);
  archive += "hello";
  ASSERT_OK_AND_ASSIGN(const auto entries, ListZip(archive));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_THAT(ReadZipEntry(archive, entries[0], 100), IsOkAndHolds("data"));
}

TEST(ZipReader, AnEmptyArchiveHasNoEntries) {
  EXPECT_THAT(ListZip(ZipOf({})), IsOkAndHolds(testing::IsEmpty()));
}

TEST(ZipReader, OverlappingEntriesAreRefused) {
  std::string archive = ZipOf({{"a", "data"}, {"b", "data"}});
  const size_t second = 2 * kDirectory + 47;
  Put(archive, second + 42, 0, 4);  // "b" at the place of "a".
  EXPECT_THAT(ListZip(archive), StatusIs(kInvalid, HasSubstr("overlap")));
}

TEST(ZipReader, AnEntryBeyondTheArchiveIsRefused) {
  std::string archive = OneFile();
  Put(archive, kDirectory + 20, 1000, 4);
  EXPECT_THAT(ListZip(archive), StatusIs(kInvalid, HasSubstr("'a' lies outside")));
}

TEST(ZipReader, EncryptedEntriesAreRefused) {
  std::string archive = OneFile();
  Put(archive, kDirectory + 8, 1, 2);
  EXPECT_THAT(ListZip(archive),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'a' is encrypted")));
}

TEST(ZipReader, AnotherCompressionMethodIsNamed) {
  std::string archive = OneFile();
  Put(archive, kDirectory + 10, 14, 2);
  ASSERT_OK_AND_ASSIGN(const auto entries, ListZip(archive));
  EXPECT_THAT(ReadZipEntry(archive, entries[0], 100),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("method 14")));
}

TEST(ZipReader, AnEntryCountBeyondTheLimitIsRefused) {
  std::string archive = OneFile();
  Put(archive, archive.size() - 12, 20000, 2);
  EXPECT_THAT(ListZip(archive),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("20000 entries")));
}

TEST(ZipReader, DamagedContentsAreFound) {
  for (bool deflate : {false, true}) {
    std::string archive = ZipOf({{"a", "some data to compress"}}, deflate);
    archive[30 + 1 + 3] ^= 4;
    ASSERT_OK_AND_ASSIGN(const auto entries, ListZip(archive));
    EXPECT_THAT(ReadZipEntry(archive, entries[0], 100), StatusIs(kInvalid));
  }
}

TEST(ZipReader, AnAnnouncedSizeThatIsTooSmallIsFound) {
  std::string archive = ZipOf({{"a", std::string(1000, 'x')}}, /*deflate=*/true);
  ASSERT_OK_AND_ASSIGN(auto entries, ListZip(archive));
  entries[0].size = 10;
  EXPECT_THAT(ReadZipEntry(archive, entries[0], 2000), StatusIs(kInvalid, HasSubstr("more bytes")));
}

TEST(ZipReader, Zip64SizesAreRead) {
  // As NumPy writes large archives: 32-bit fields say "see the zip64 field".
  const std::string plain = OneFile();
  std::string archive = plain.substr(0, kDirectory);
  std::string entry = plain.substr(kDirectory, 47);
  Put(entry, 20, 0xFFFFFFFF, 4);
  Put(entry, 24, 0xFFFFFFFF, 4);
  Put(entry, 30, 20, 2);
  std::string extra(20, '\0');
  Put(extra, 0, 1, 2);
  Put(extra, 2, 16, 2);
  Put(extra, 4, 4, 8);
  Put(extra, 12, 4, 8);
  std::string end = plain.substr(kDirectory + 47);
  Put(end, 12, entry.size() + extra.size(), 4);
  archive += entry + extra + end;
  ASSERT_OK_AND_ASSIGN(const auto entries, ListZip(archive));
  EXPECT_THAT(ReadZipEntry(archive, entries[0], 100), IsOkAndHolds("data"));
}

}  // namespace
}  // namespace topiary
