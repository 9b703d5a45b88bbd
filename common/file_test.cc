#include "common/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <utility>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using testing::HasSubstr;

// A new, empty folder for each test.
class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/file_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    ASSERT_OK(CreateFolders(folder_));
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
};

TEST_F(FileTest, WhatWasWrittenIsRead) {
  const std::string contents("a\0b\n", 4);
  ASSERT_OK(WriteFileAtomically(Path("f"), contents));
  EXPECT_THAT(ReadFile(Path("f")), IsOkAndHolds(contents));
}

TEST_F(FileTest, LargeAndEmptyFilesAreReadWhole) {
  const std::string large(1000001, 'q');
  ASSERT_OK(WriteFileAtomically(Path("large"), large));
  EXPECT_THAT(ReadFile(Path("large")), IsOkAndHolds(large));
  ASSERT_OK(WriteFileAtomically(Path("empty"), ""));
  EXPECT_THAT(ReadFile(Path("empty")), IsOkAndHolds(std::string()));
}

TEST_F(FileTest, ReplacingLeavesNoTemporaryFile) {
  ASSERT_OK(WriteFileAtomically(Path("f"), "old"));
  ASSERT_OK(WriteFileAtomically(Path("f"), "new"));
  EXPECT_THAT(ReadFile(Path("f")), IsOkAndHolds(std::string("new")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FileTest, AFailedWriteLeavesNoTemporaryFile) {
  ASSERT_OK(CreateFolders(Path("taken/inner")));
  EXPECT_FALSE(WriteFileAtomically(Path("taken"), "x").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FileTest, ReadingStopsAtTheLimit) {
  ASSERT_OK(WriteFileAtomically(Path("f"), "12345"));
  EXPECT_THAT(ReadFile(Path("f"), 5), IsOk());
  EXPECT_THAT(ReadFile(Path("f"), 4),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("4 bytes")));
  EXPECT_THAT(ReadFile("/dev/zero", 1 << 20), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(FileTest, ErrorsNameTheFileAndTheReason) {
  EXPECT_THAT(ReadFile(Path("missing")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(Path("missing"))));
  EXPECT_THAT(WriteFileAtomically(Path("missing/f"), ""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(ReadFile(folder_).ok());
  EXPECT_THAT(SyncFolder(Path("missing")), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(WriteFileAtomically(Path("f"), ""));
  EXPECT_FALSE(CreateFolders(Path("f/g")).ok());
}

TEST_F(FileTest, FoldersAreCreatedOnceAndAgain) {
  EXPECT_OK(CreateFolders(Path("a/b/c")));
  EXPECT_OK(CreateFolders(Path("a/b/c")));
  EXPECT_TRUE(std::filesystem::is_directory(Path("a/b/c")));
  EXPECT_OK(SyncFolder(Path("a/b")));
}

TEST_F(FileTest, AMappedFileShowsItsBytesAndCanBeMoved) {
  ASSERT_OK(WriteFileAtomically(Path("f"), "mapped"));
  ASSERT_OK_AND_ASSIGN(MappedFile first, MappedFile::Open(Path("f")));
  MappedFile second = std::move(first);
  EXPECT_EQ(second.bytes(), "mapped");
  ASSERT_OK(WriteFileAtomically(Path("g"), "other"));
  ASSERT_OK_AND_ASSIGN(second, MappedFile::Open(Path("g")));
  EXPECT_EQ(second.bytes(), "other");
}

TEST_F(FileTest, AnEmptyFileMapsToNoBytes) {
  ASSERT_OK(WriteFileAtomically(Path("f"), ""));
  ASSERT_OK_AND_ASSIGN(const MappedFile file, MappedFile::Open(Path("f")));
  EXPECT_TRUE(file.bytes().empty());
}

TEST_F(FileTest, OnlyRegularFilesAreMapped) {
  EXPECT_THAT(MappedFile::Open(folder_), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(MappedFile::Open(Path("fifo")), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(MappedFile::Open(Path("missing")), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace topiary
