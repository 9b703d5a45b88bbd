#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/status_matchers.h"
#include "worker/data/readers.h"
#include "worker/data/testing/file_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

std::string Images() { return IdxOf({2, 2, 2}, std::string("\0\1\2\3\4\5\6\xff", 8)); }
std::string Labels() { return IdxOf({2}, "\7\3"); }

absl::StatusOr<Dataset> Read(const std::string& images, const std::string& labels,
                             const ReadLimits& limits = {}) {
  IdxSource source;
  source.images = WriteTemp("images-idx3-ubyte", images);
  if (!labels.empty()) source.labels = WriteTemp("labels-idx1-ubyte", labels);
  return ReadIdx(source, limits);
}

TEST(IdxReader, BytesBecomeFloatsAndLabelsIntegers) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read(Images(), Labels()));
  EXPECT_EQ(dataset.inputs[0].values.shape(), Shape({2, 2, 2}));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 255));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(7, 3));
  EXPECT_THAT(dataset.inputs[0].Described(),
              testing::MatchesRegex("images of .*images-idx3-ubyte"));
  EXPECT_THAT(dataset.labels.Described(), testing::MatchesRegex("labels of .*labels-idx1-ubyte"));
}

TEST(IdxReader, GzipIsKnownByItsContents) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read(GzipOf(Images()), GzipOf(Labels())));
  EXPECT_EQ(dataset.size(), 2);
}

TEST(IdxReader, SeveralGzipMembersAreOneFile) {
  const std::string images = Images();
  ASSERT_OK_AND_ASSIGN(const Dataset dataset,
                       Read(GzipOf(images.substr(0, 5)) + GzipOf(images.substr(5)), Labels()));
  EXPECT_EQ(dataset.size(), 2);
}

TEST(IdxReader, LabelsMayBeAbsent) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read(Images(), ""));
  EXPECT_FALSE(dataset.has_labels());
}

TEST(IdxReader, OtherTypesAreBigEndian) {
  ASSERT_OK_AND_ASSIGN(const Dataset shorts,
                       Read(IdxOf({2}, std::string("\x01\x02\xff\xfe", 4), 0x0B), Labels()));
  EXPECT_THAT(shorts.inputs[0].values.span<float>(), ElementsAre(258, -2));
  ASSERT_OK_AND_ASSIGN(const Dataset floats,
                       Read(IdxOf({1}, std::string("\x3f\xc0\0\0", 4), 0x0D), ""));
  EXPECT_THAT(floats.inputs[0].values.span<float>(), ElementsAre(1.5f));
  ASSERT_OK_AND_ASSIGN(const Dataset doubles,
                       Read(IdxOf({1}, std::string("\xbf\xf8\0\0\0\0\0\0", 8), 0x0E), ""));
  EXPECT_THAT(doubles.inputs[0].values.span<float>(), ElementsAre(-1.5f));
  ASSERT_OK_AND_ASSIGN(const Dataset ints,
                       Read(IdxOf({1}, std::string("\xff\xff\xff\xfd", 4), 0x0C), ""));
  EXPECT_THAT(ints.inputs[0].values.span<float>(), ElementsAre(-3));
  ASSERT_OK_AND_ASSIGN(const Dataset bytes, Read(IdxOf({1}, "\xff", 0x09), ""));
  EXPECT_THAT(bytes.inputs[0].values.span<float>(), ElementsAre(-1));
}

struct Malformed {
  const char* name;
  std::string images;
  std::string labels;
  const char* message;
  absl::StatusCode code = kInvalid;
};

class MalformedFiles : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedFiles, AreRefused) {
  EXPECT_THAT(Read(GetParam().images, GetParam().labels),
              StatusIs(GetParam().code, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    IdxReader, MalformedFiles,
    testing::Values(
        Malformed{"Empty", "", Labels(), "images-idx3-ubyte: images: it is no IDX file"},
        Malformed{"Text", "hello world", Labels(), "two zero bytes"},
        Malformed{"UnknownType", IdxOf({1}, "1", 0x07), Labels(), "type 7"},
        Malformed{"RankZero", IdxOf({}, "1"), Labels(), "rank 0"},
        Malformed{"HeaderCutShort", Images().substr(0, 10), Labels(), "within its header"},
        Malformed{"DataCutShort", Images().substr(0, 22), Labels(),
                  "needs 8 bytes, but there are 6 (1 whole rows)"},
        Malformed{"BytesTooMany", Images() + "x", Labels(), "there are 9"},
        Malformed{"HugeShape", IdxOf({4294967295u, 4294967295u, 4294967295u}, ""), Labels(),
                  "larger than allowed", absl::StatusCode::kResourceExhausted},
        Malformed{"CountsDiffer", Images(), IdxOf({3}, "\1\2\3"),
                  "labels-idx1-ubyte has 3 labels, but"},
        Malformed{"LabelsAreImages", Images(), Images(), "one number per image"},
        Malformed{"GzipCutShort", GzipOf(Images()).substr(0, 20), Labels(), "cut short"},
        Malformed{"GzipWithRubbishBehind", GzipOf(Images()) + "rubbish", Labels(),
                  "7 bytes follow"},
        Malformed{"GzipHeaderOnly", "\x1f\x8b", Labels(), "cut short"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(IdxReader, EveryTruncationIsAnError) {
  for (const std::string& images : {Images(), GzipOf(Images())}) {
    for (size_t length = 0; length < images.size(); ++length) {
      EXPECT_THAT(Read(images.substr(0, length), Labels()), Not(IsOk())) << length;
    }
  }
}

TEST(IdxReader, AGzipFileThatInflatesToTooMuchIsRefused) {
  ReadLimits limits;
  limits.max_bytes = 100000;
  EXPECT_THAT(Read(GzipOf(std::string(1000000, '\0')), Labels(), limits),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("images-idx3-ubyte"), HasSubstr("100000"))));
}

}  // namespace
}  // namespace topiary
