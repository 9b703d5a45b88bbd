#include "client/local_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

std::string TempPath(const std::string& name) { return testing::TempDir() + "/" + name; }

TEST(LocalFile, ReadsAtOffsetsUpToTheEnd) {
  const std::string path = TempPath("read");
  ASSERT_OK(WriteFileAtomically(path, "0123456789"));
  ASSERT_OK_AND_ASSIGN(const LocalFile file, LocalFile::OpenForReading(path));
  EXPECT_THAT(file.Size(), IsOkAndHolds(10));
  EXPECT_THAT(file.ReadAt(3, 4), IsOkAndHolds("3456"));
  EXPECT_THAT(file.ReadAt(8, 100), IsOkAndHolds("89"));
  EXPECT_THAT(file.ReadAt(50, 1), IsOkAndHolds(""));
}

TEST(LocalFile, MissingFilesAndFoldersAreErrorsWithTheirName) {
  EXPECT_THAT(LocalFile::OpenForReading(TempPath("none")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(LocalFile::OpenForReading(testing::TempDir()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ordinary")));
}

TEST(LocalFile, ErrorsAreMarkedAsOfThisMachine) {
  EXPECT_TRUE(IsLocalFileError(LocalFile::OpenForReading(TempPath("none")).status()));
  EXPECT_TRUE(IsLocalFileError(LocalFile::OpenForReading(testing::TempDir()).status()));
  EXPECT_FALSE(IsLocalFileError(absl::NotFoundError("no such job")));
  EXPECT_EQ(LocalFileError(absl::OkStatus()), absl::OkStatus());
}

TEST(LocalFile, APipeDoesNotMakeItWait) {
  const std::string path = TempPath("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(LocalFile::OpenForReading(path), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LocalFile, WritersExcludeEachOther) {
  const std::string path = TempPath("locked");
  {
    ASSERT_OK_AND_ASSIGN(const LocalFile first, LocalFile::OpenExclusively(path));
    EXPECT_THAT(LocalFile::OpenExclusively(path), StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_OK(LocalFile::OpenExclusively(path).status());
}

TEST(LocalFile, OpeningForWritingKeepsWhatIsThere) {
  const std::string path = TempPath("kept");
  ASSERT_OK(WriteFileAtomically(path, "abc"));
  ASSERT_OK_AND_ASSIGN(LocalFile file, LocalFile::OpenExclusively(path));
  ASSERT_OK(file.WriteAt(3, "def"));
  EXPECT_THAT(ReadFile(path), IsOkAndHolds("abcdef"));
}

TEST(LocalFile, ALinkIsNotWrittenThrough) {
  const std::string target = TempPath("target");
  const std::string link = TempPath("link");
  ASSERT_OK(WriteFileAtomically(target, "precious"));
  ASSERT_EQ(symlink(target.c_str(), link.c_str()), 0);
  EXPECT_FALSE(LocalFile::OpenExclusively(link).ok());
  EXPECT_THAT(ReadFile(target), IsOkAndHolds("precious"));
}

TEST(LocalFile, MovingReplacesTheTarget) {
  const std::string path = TempPath("new");
  ASSERT_OK(WriteFileAtomically(path, "old"));
  ASSERT_OK_AND_ASSIGN(LocalFile file, LocalFile::OpenExclusively(path + ".partial"));
  ASSERT_OK(file.WriteAt(0, "newer"));
  ASSERT_OK(file.MoveTo(path));
  EXPECT_THAT(ReadFile(path), IsOkAndHolds("newer"));
  EXPECT_THAT(ReadFile(path + ".partial"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace topiary
