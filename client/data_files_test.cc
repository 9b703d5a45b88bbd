#include "client/data_files.h"

#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Make(const std::string& name, const std::string& contents = "1,2\n") {
  const std::string path = testing::TempDir() + "/" + name;
  EXPECT_OK(WriteFileAtomically(path, contents));
  return path;
}

TEST(DataFiles, TheNameTellsTheFormat) {
  EXPECT_EQ(ParseDataSource(Make("a.npz")).value().format, DataFormat::kNpz);
  EXPECT_EQ(ParseDataSource(Make("a.csv")).value().format, DataFormat::kCsv);
  EXPECT_EQ(ParseDataSource(Make("a.csv.gz")).value().format, DataFormat::kCsv);
}

TEST(DataFiles, WithoutAKnownNameTheFirstBytesDo) {
  const std::string zip("PK\x03\x04rest", 8);
  EXPECT_EQ(ParseDataSource(Make("archive", zip)).value().format, DataFormat::kNpz);
  EXPECT_EQ(ParseDataSource(Make("table")).value().format, DataFormat::kCsv);
}

TEST(DataFiles, TwoFilesAreAnIdxPair) {
  const std::string images = Make("t10k-images-idx3-ubyte.gz");
  const std::string labels = Make("t10k-labels-idx1-ubyte.gz");
  ASSERT_OK_AND_ASSIGN(const LocalDataSource source, ParseDataSource(images + "," + labels));
  EXPECT_EQ(source.format, DataFormat::kIdx);
  EXPECT_THAT(source.paths, ElementsAre(images, labels));
}

TEST(DataFiles, HalfAnIdxPairIsRecognized) {
  EXPECT_THAT(ParseDataSource(Make("images-idx3-ubyte")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("IMAGES,LABELS")));
}

TEST(DataFiles, WrongNumbersOfFilesAreRefused) {
  EXPECT_THAT(ParseDataSource("a,b,c"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 files")));
  EXPECT_THAT(ParseDataSource("a,"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty file name")));
  EXPECT_THAT(ParseDataSource(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DataFiles, AMissingFileIsFoundBeforeAnythingIsSent) {
  EXPECT_THAT(ParseDataSource("/no/such.npz"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such.npz")));
  EXPECT_THAT(ParseDataSource(Make("there") + ",/no/labels"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/labels")));
}

}  // namespace
}  // namespace topiary
