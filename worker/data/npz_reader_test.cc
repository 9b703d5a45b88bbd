#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

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
constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr absl::StatusCode kExhausted = absl::StatusCode::kResourceExhausted;

std::string Features() { return NpyOf<float>("<f4", "(2, 3)", {1, 2, 3, 4, 5, 6}); }
std::string Labels() { return NpyOf<int64_t>("<i8", "(2,)", {1, 0}); }

absl::StatusOr<Dataset> Read(const std::string& archive, const ReadLimits& limits = {}) {
  NpzSource source;
  source.path = WriteTemp("data.npz", archive);
  source.inputs = {{"x", "input", false}};
  source.labels = "y";
  return ReadNpz(source, limits);
}

class StoredOrDeflated : public testing::TestWithParam<bool> {};

TEST_P(StoredOrDeflated, ArraysAreReadByName) {
  ASSERT_OK_AND_ASSIGN(
      const Dataset dataset,
      Read(ZipOf({{"y.npy", Labels()}, {"x.npy", Features()}}, /*deflate=*/GetParam())));
  ASSERT_EQ(dataset.inputs.size(), 1u);
  EXPECT_EQ(dataset.inputs[0].name, "input");
  EXPECT_THAT(dataset.inputs[0].Described(), testing::MatchesRegex("array 'x' of .*[.]npz"))
      << "messages name what is in the file, and the file";
  EXPECT_THAT(dataset.labels.Described(), testing::MatchesRegex("array 'y' of .*[.]npz"));
  EXPECT_EQ(dataset.inputs[0].values.shape(), Shape({2, 3}));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(1, 0));
}

INSTANTIATE_TEST_SUITE_P(NpzReader, StoredOrDeflated, testing::Bool(),
                         [](const auto& info) { return info.param ? "Deflated" : "Stored"; });

TEST(NpzReader, WithoutNamesEveryArrayButTheLabelsIsAnInput) {
  NpzSource source;
  source.path = WriteTemp("all.npz", ZipOf({{"a.npy", Features()},
                                            {"y.npy", Labels()},
                                            {"readme.txt", "not an array"},
                                            {"b.npy", Features()}}));
  source.labels = "y";
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, ReadNpz(source));
  ASSERT_EQ(dataset.inputs.size(), 2u);
  EXPECT_EQ(dataset.inputs[0].name, "a");
  EXPECT_EQ(dataset.inputs[1].name, "b");
}

TEST(NpzReader, FortranOrderIsTurnedIntoRowMajor) {
  const std::string x = NpyOf<float>("<f4", "(2, 3)", {1, 4, 2, 5, 3, 6}, /*fortran_order=*/true);
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read(ZipOf({{"x.npy", x}, {"y.npy", Labels()}})));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(NpzReader, VersionsTwoAndThreeAreRead) {
  const std::vector<float> values = {7, 8};
  const absl::string_view data(reinterpret_cast<const char*>(values.data()), 8);
  for (int version : {2, 3}) {
    const std::string x =
        NpyBytes("{'shape': (2,), 'fortran_order': False, 'descr': \"<f4\"}", data, version);
    ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read(ZipOf({{"x.npy", x}, {"y.npy", Labels()}})));
    EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(7, 8));
  }
}

struct ElementCase {
  const char* descr;
  std::string npy;
  std::vector<float> features;
};

class ElementTypes : public testing::TestWithParam<ElementCase> {};

TEST_P(ElementTypes, BecomeFloatFeatures) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset,
                       Read(ZipOf({{"x.npy", GetParam().npy}, {"y.npy", Labels()}})));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(),
              testing::ElementsAreArray(GetParam().features));
}

INSTANTIATE_TEST_SUITE_P(
    NpzReader, ElementTypes,
    testing::Values(ElementCase{"f8", NpyOf<double>("<f8", "(2,)", {1.5, -2}), {1.5f, -2}},
                    ElementCase{"u1", NpyOf<uint8_t>("|u1", "(2,)", {0, 255}), {0, 255}},
                    ElementCase{"u2", NpyOf<uint16_t>("<u2", "(2,)", {0, 65535}), {0, 65535}},
                    ElementCase{
                        "u4", NpyOf<uint32_t>("<u4", "(2,)", {1, 1u << 31}), {1, 2147483648.0f}},
                    ElementCase{"i1", NpyOf<int8_t>("|i1", "(2,)", {-128, 1}), {-128, 1}},
                    ElementCase{"i2", NpyOf<int16_t>("<i2", "(2,)", {-3, 1}), {-3, 1}},
                    ElementCase{"i4", NpyOf<int32_t>("<i4", "(2,)", {-3, 1}), {-3, 1}},
                    ElementCase{"i8", NpyOf<int64_t>("<i8", "(2,)", {-3, 1}), {-3, 1}},
                    ElementCase{"b1", NpyOf<uint8_t>("|b1", "(2,)", {1, 0}), {1, 0}}),
    [](const auto& info) { return std::string(info.param.descr); });

TEST(NpzReader, IdsStayIntegers) {
  NpzSource source;
  source.path = WriteTemp("ids.npz", ZipOf({{"ids.npy", Labels()}}));
  source.inputs = {{"ids", "tokens", /*as_ids=*/true}};
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, ReadNpz(source));
  EXPECT_EQ(dataset.inputs[0].values.dtype(), DType::kInt64);
  EXPECT_FALSE(dataset.has_labels());
}

std::string BadNpy(const std::string& dictionary) { return NpyBytes(dictionary, "12345678"); }

struct Malformed {
  const char* name;
  std::string archive;
  const char* message;
  absl::StatusCode code = kInvalid;
};

std::string WithX(const std::string& x) { return ZipOf({{"x.npy", x}, {"y.npy", Labels()}}); }
std::string Patched(std::string bytes, size_t at, char value) {
  bytes[at] = value;
  return bytes;
}

class MalformedArchives : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedArchives, AreRefusedNamingTheFile) {
  EXPECT_THAT(
      Read(GetParam().archive),
      StatusIs(GetParam().code, AllOf(HasSubstr("data.npz: "), HasSubstr(GetParam().message))));
}

INSTANTIATE_TEST_SUITE_P(
    NpzReader, MalformedArchives,
    testing::Values(
        Malformed{"Empty", "", "no zip archive"},
        Malformed{"NotAZip", std::string(100, 'x'), "no zip archive"},
        Malformed{"NoSuchArray", ZipOf({{"y.npy", Labels()}}),
                  "there is no array 'x'; there are: y"},
        Malformed{"EntryTwice",
                  ZipOf({{"x.npy", Features()}, {"x.npy", Features()}, {"y.npy", Labels()}}),
                  "'x.npy' twice"},
        Malformed{"NotAnArray", WithX("plain text"), "array 'x': it is no .npy array"},
        Malformed{"Version4", WithX(Patched(Features(), 6, 4)), "version 4", kUnimplemented},
        Malformed{"HeaderLongerThanFile", WithX(Patched(Features(), 9, '\x7f')), "cut short"},
        Malformed{"HeaderIsNoDictionary", WithX(BadNpy("[]")), "not the dictionary"},
        Malformed{"KeyMissing", WithX(BadNpy("{'descr': '<f4', 'shape': (2,)}")),
                  "not the dictionary"},
        Malformed{"KeyTwice",
                  WithX(BadNpy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, "
                               "'shape': (2,)}")),
                  "not the dictionary"},
        Malformed{"ForeignKey",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), "
                               "'extra': 1}")),
                  "not the dictionary"},
        Malformed{"CodeInTheHeader",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (2*1,)}")),
                  "not the dictionary"},
        Malformed{"NegativeExtent",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}")),
                  "not the dictionary"},
        Malformed{"HugeExtent",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, "
                               "'shape': (99999999999999999999,)}")),
                  "not the dictionary"},
        Malformed{"OverflowingShape",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, "
                               "'shape': (4294967296, 4294967296)}")),
                  "does not match"},
        Malformed{"TooFewData",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}")),
                  "shape [3] with elements of 4 bytes does not match the 8"},
        Malformed{"TooManyData",
                  WithX(BadNpy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}")),
                  "does not match"},
        Malformed{"BigEndian",
                  WithX(BadNpy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}")),
                  "'>f4' are not supported", kUnimplemented},
        Malformed{"Half", WithX(BadNpy("{'descr': '<f2', 'fortran_order': False, 'shape': (4,)}")),
                  "'<f2'", kUnimplemented},
        Malformed{"PickledObjects",
                  WithX(BadNpy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}")), "'|O'",
                  kUnimplemented},
        Malformed{"Structured",
                  WithX(BadNpy("{'descr': [('a', '<f4')], 'fortran_order': False, "
                               "'shape': (2,)}")),
                  "structured arrays", kUnimplemented},
        Malformed{"Scalar", WithX(NpyOf<float>("<f4", "()", {1})), "scalar"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(NpzReader, EveryTruncationIsAnError) {
  for (bool deflate : {false, true}) {
    const std::string archive = ZipOf({{"x.npy", Features()}, {"y.npy", Labels()}}, deflate);
    for (size_t length = 0; length < archive.size(); ++length) {
      EXPECT_THAT(Read(archive.substr(0, length)), Not(IsOk())) << length;
    }
  }
}

// Whatever a changed byte makes of the archive, it is read right or refused.
TEST(NpzReader, NoChangedByteCrashesOrGoesUnnoticed) {
  for (bool deflate : {false, true}) {
    const std::string archive = ZipOf({{"x.npy", Features()}, {"y.npy", Labels()}}, deflate);
    for (size_t i = 0; i < archive.size(); ++i) {
      for (unsigned char flip : {0x01, 0x80, 0xff}) {
        std::string changed = archive;
        changed[i] = static_cast<char>(static_cast<unsigned char>(changed[i]) ^ flip);
        const absl::StatusOr<Dataset> dataset = Read(changed);
        if (!dataset.ok()) continue;
        EXPECT_THAT(dataset->inputs[0].values.span<float>(), ElementsAre(1, 2, 3, 4, 5, 6)) << i;
      }
    }
  }
}

TEST(NpzReader, AnArchiveThatUnpacksToTooMuchIsRefused) {
  const std::string bomb = NpyOf<uint8_t>("|u1", "(1000000,)", std::vector<uint8_t>(1000000, 0));
  const std::string archive = ZipOf({{"x.npy", bomb}, {"y.npy", Labels()}}, /*deflate=*/true);
  ASSERT_LT(archive.size(), 10000u);
  ReadLimits limits;
  limits.max_bytes = 500000;
  EXPECT_THAT(Read(archive, limits), StatusIs(kExhausted, HasSubstr("at most 500000")));
  limits.max_bytes = 3000000;  // The bytes fit, the floats made of them do not.
  EXPECT_THAT(Read(archive, limits), StatusIs(kExhausted, HasSubstr("array 'x'")));
  limits.max_bytes = 5000000;
  EXPECT_OK(Read(archive, limits));
}

TEST(NpzReader, AMissingFileIsNotFound) {
  NpzSource source;
  source.path = testing::TempDir() + "none.npz";
  EXPECT_THAT(ReadNpz(source), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.npz")));
}

}  // namespace
}  // namespace topiary
