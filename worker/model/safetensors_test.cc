#include "worker/model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

std::string TempPath(const std::string& name) { return testing::TempDir() + name; }

SafetensorsFile SomeTensors() {
  SafetensorsFile file;
  file.metadata = {{"format", "block \"sparse\"\n"}, {"version", "1"}};
  file.tensors.emplace_back("w", Tensor::FromVector<float>(Shape({2, 2}), {1, 2, 3, 4}));
  file.tensors.emplace_back("a/rows", Tensor::FromVector<int32_t>(Shape({3}), {0, 1, 2}));
  file.tensors.emplace_back("bytes", Tensor::FromVector<uint8_t>(Shape({3}), {7, 8, 9}));
  file.tensors.emplace_back("count", Tensor::Scalar<int64_t>(-1));
  file.tensors.emplace_back("none", Tensor(DType::kFloat32, Shape({0, 5})));
  return file;
}

// A file of this header and `data_bytes` zero bytes.
std::string FileOf(const std::string& header, size_t data_bytes) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(header.size() >> (8 * i) & 0xFF));
  return bytes + header + std::string(data_bytes, '\0');
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const std::string path = TempPath("some.safetensors");
  ASSERT_OK(WriteSafetensors(SomeTensors(), path));
  ASSERT_OK_AND_ASSIGN(const SafetensorsFile file, ReadSafetensors(path));
  EXPECT_THAT(file.metadata,
              UnorderedElementsAre(Pair("format", "block \"sparse\"\n"), Pair("version", "1")));
  ASSERT_EQ(file.tensors.size(), 5u);
  for (const auto& [name, tensor] : SomeTensors().tensors) {
    ASSERT_NE(file.Find(name), nullptr) << name;
    EXPECT_TRUE(BitwiseEqual(*file.Find(name), tensor)) << name;
  }
}

TEST(Safetensors, TheSameTensorsGiveTheSameBytesAndAnAlignedStart) {
  ASSERT_OK(WriteSafetensors(SomeTensors(), TempPath("one")));
  ASSERT_OK(WriteSafetensors(SomeTensors(), TempPath("two")));
  ASSERT_OK_AND_ASSIGN(const std::string one, ReadFile(TempPath("one")));
  EXPECT_THAT(ReadFile(TempPath("two")), IsOkAndHolds(one));
  EXPECT_EQ(static_cast<unsigned char>(one[0]) % 8, 0);
  EXPECT_EQ(one[8], '{');
}

TEST(Safetensors, TensorsOfHuggingFacesExampleAreRead) {
  ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                       ParseSafetensors(FileOf(
                           R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})", 16)));
  EXPECT_EQ(file.Find("test")->shape(), Shape({2, 2}));
}

TEST(Safetensors, NamesAndTypesThatTheFormatLacksAreNotWritten) {
  const auto write = [](const std::string& name, Tensor tensor) {
    SafetensorsFile file;
    file.tensors.emplace_back("ok", Tensor::Scalar(1.0f));
    file.tensors.emplace_back(name, std::move(tensor));
    return WriteSafetensors(file, TempPath("refused"));
  };
  EXPECT_THAT(write("d", Tensor::Scalar(1.0)), StatusIs(kInvalid, HasSubstr("float64")));
  EXPECT_THAT(write("ok", Tensor()), StatusIs(kInvalid, HasSubstr("repeated")));
  EXPECT_THAT(write("", Tensor()), StatusIs(kInvalid));
  EXPECT_THAT(write("__metadata__", Tensor()), StatusIs(kInvalid));
  EXPECT_THAT(write("\xff", Tensor()), StatusIs(kInvalid));
}

struct Malformed {
  const char* name;
  std::string header;
  size_t data_bytes;
  const char* message;
  absl::StatusCode code = kInvalid;
};

class MalformedHeaders : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedHeaders, AreRefused) {
  EXPECT_THAT(ParseSafetensors(FileOf(GetParam().header, GetParam().data_bytes)),
              StatusIs(GetParam().code, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Safetensors, MalformedHeaders,
    testing::Values(
        Malformed{"NotJson", "{\"a\":", 0, "not the JSON object"},
        Malformed{"AList", "[]", 0, "not the JSON object"},
        Malformed{"DeepNesting", std::string(100000, '['), 0, "not the JSON object"},
        Malformed{"DeepInside", "{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}",
                  0, "not the JSON object"},
        Malformed{"BadUtf8", "{\"\xff\":1}", 0, "not the JSON object"},
        Malformed{"RepeatedName",
                  R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                  R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                  1, "twice"},
        Malformed{"EntryIsNumber", R"({"a":1})", 0, "'a' is not described"},
        Malformed{"NoDtype", R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "no dtype"},
        Malformed{"OtherDtype", R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})", 2,
                  "'a' is BF16", absl::StatusCode::kUnimplemented},
        Malformed{"NoShape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "'shape'"},
        Malformed{"NegativeExtent", R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1,
                  "number >= 0"},
        Malformed{"FractionalExtent", R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})",
                  1, "number >= 0"},
        Malformed{"HighRank",
                  R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
                  "up to 8 numbers"},
        Malformed{"OverflowingShape",
                  R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})",
                  0, "does not have 0 bytes"},
        Malformed{"HugeExtent",
                  R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1,
                  "number >= 0"},
        Malformed{"ShapeAndBytesDisagree",
                  R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
                  "does not have 4 bytes"},
        Malformed{"RangeBackwards", R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}})", 1,
                  "no range"},
        Malformed{"RangeOfOne", R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})", 0,
                  "no range"},
        Malformed{"Overlap",
                  R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                  R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                  3, "'b' starts at byte 1, inside another"},
        Malformed{"Hole",
                  R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                  R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                  3, "after a gap"},
        Malformed{"PastTheEnd", R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 3,
                  "take 9 bytes, but the file has 3"},
        Malformed{"TrailingBytes", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2,
                  "but the file has 2"},
        Malformed{"MetadataIsText", R"({"__metadata__":"x"})", 0, "metadata is no object"},
        Malformed{"MetadataOfNumbers", R"({"__metadata__":{"x":1}})", 0, "'x' is no string"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Safetensors, LimitsHold) {
  ASSERT_OK(WriteSafetensors(SomeTensors(), TempPath("limits")));
  SafetensorsLimits limits;
  limits.max_header_bytes = 16;
  EXPECT_THAT(ReadSafetensors(TempPath("limits"), limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 16")));
  limits = SafetensorsLimits();
  limits.max_tensors = 2;
  EXPECT_THAT(ReadSafetensors(TempPath("limits"), limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("tensors")));
  limits = SafetensorsLimits();
  limits.max_file_bytes = 10;
  EXPECT_THAT(ReadSafetensors(TempPath("limits"), limits),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(Safetensors, EveryTruncationIsAnError) {
  ASSERT_OK(WriteSafetensors(SomeTensors(), TempPath("whole")));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadFile(TempPath("whole")));
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THAT(ParseSafetensors(bytes.substr(0, length)), Not(IsOk())) << length;
  }
}

TEST(Safetensors, AHeaderLongerThanTheFileIsRefused) {
  std::string bytes = FileOf("{}", 0);
  bytes[0] = 100;
  EXPECT_THAT(ParseSafetensors(bytes), StatusIs(kInvalid, HasSubstr("ends within its header")));
}

}  // namespace
}  // namespace topiary
