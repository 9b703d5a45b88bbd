#include "worker/model/op_params.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

Node NodeOf(const std::string& op_type, const std::vector<Attribute>& attributes = {}) {
  Node node;
  node.op_type = op_type;
  node.attributes = attributes;
  return node;
}

struct WindowCase {
  const char* name;
  std::vector<Attribute> attributes;
  int64_t extent;
  int64_t kernel;
  int64_t dst;
  int64_t pad_begin;
  int64_t pad_end;
};

class ConvWindows : public testing::TestWithParam<WindowCase> {};

// Values as ONNX's and PyTorch's formulas give them, one spatial axis.
TEST_P(ConvWindows, AreSettled) {
  const WindowCase& c = GetParam();
  ASSERT_OK_AND_ASSIGN(const ConvParams params,
                       ReadConv(NodeOf("Conv", c.attributes), {1, 2, c.extent}, {4, 2, c.kernel}));
  EXPECT_THAT(params.window.dst_spatial, ElementsAre(c.dst));
  EXPECT_THAT(params.window.pads_begin, ElementsAre(c.pad_begin));
  EXPECT_THAT(params.window.pads_end, ElementsAre(c.pad_end));
}

INSTANTIATE_TEST_SUITE_P(
    OpParams, ConvWindows,
    testing::Values(
        WindowCase{"Plain", {}, 8, 3, 6, 0, 0},
        WindowCase{"Padded", {List("pads", {1, 1})}, 8, 3, 8, 1, 1},
        WindowCase{"PaddedUnevenly", {List("pads", {0, 2})}, 8, 3, 8, 0, 2},
        WindowCase{"Strided", {List("strides", {2}), List("pads", {1, 1})}, 8, 3, 4, 1, 1},
        WindowCase{"Dilated", {List("dilations", {3})}, 8, 3, 2, 0, 0},
        WindowCase{
            "SameUpper", {String("auto_pad", "SAME_UPPER"), List("strides", {2})}, 8, 3, 4, 0, 1},
        WindowCase{
            "SameLower", {String("auto_pad", "SAME_LOWER"), List("strides", {2})}, 8, 3, 4, 1, 0},
        WindowCase{"SameUpperDilated",
                   {String("auto_pad", "SAME_UPPER"), List("dilations", {2})},
                   8,
                   3,
                   8,
                   2,
                   2},
        WindowCase{"SameNeedsNoPadding",
                   {String("auto_pad", "SAME_UPPER"), List("strides", {4})},
                   8,
                   2,
                   2,
                   0,
                   0},
        WindowCase{"Valid", {String("auto_pad", "VALID"), List("strides", {3})}, 8, 2, 3, 0, 0}),
    [](const auto& info) { return std::string(info.param.name); });

struct PoolCase {
  const char* name;
  std::vector<Attribute> attributes;
  int64_t extent;
  int64_t dst;
  int64_t pad_end;
};

class PoolWindows : public testing::TestWithParam<PoolCase> {};

TEST_P(PoolWindows, CoverTheLastWindow) {
  const PoolCase& c = GetParam();
  ASSERT_OK_AND_ASSIGN(const PoolParams params,
                       ReadPool(NodeOf("MaxPool", c.attributes), {1, 2, c.extent}));
  EXPECT_THAT(params.window.dst_spatial, ElementsAre(c.dst));
  EXPECT_THAT(params.window.pads_end, ElementsAre(c.pad_end));
}

INSTANTIATE_TEST_SUITE_P(
    OpParams, PoolWindows,
    testing::Values(PoolCase{"Floor", {List("kernel_shape", {3}), List("strides", {2})}, 8, 3, 0},
                    PoolCase{"Ceil",
                             {List("kernel_shape", {3}), List("strides", {2}), Int("ceil_mode", 1)},
                             8,
                             4,
                             1},
                    PoolCase{"CeilThatDividesEvenly",
                             {List("kernel_shape", {2}), List("strides", {2}), Int("ceil_mode", 1)},
                             8,
                             4,
                             0},
                    // A last window that would start in the padding is dropped (PyTorch's rule).
                    PoolCase{"CeilDropsAWindowInThePadding",
                             {List("kernel_shape", {2}), List("strides", {3}), List("pads", {1, 1}),
                              Int("ceil_mode", 1)},
                             5,
                             2,
                             1}),
    [](const auto& info) { return std::string(info.param.name); });

struct BadWindow {
  const char* name;
  std::vector<Attribute> attributes;
  Shape src;
  Shape weights;
  const char* message;
  absl::StatusCode code = kInvalid;
};

class BadConvs : public testing::TestWithParam<BadWindow> {};

TEST_P(BadConvs, AreRefused) {
  const BadWindow& c = GetParam();
  EXPECT_THAT(ReadConv(NodeOf("Conv", c.attributes), c.src, c.weights),
              StatusIs(c.code, HasSubstr(c.message)));
}

INSTANTIATE_TEST_SUITE_P(
    OpParams, BadConvs,
    testing::Values(
        BadWindow{"NoSpatialAxis", {}, {1, 2}, {4, 2}, "no spatial axis"},
        BadWindow{"ThreeSpatialAxes",
                  {},
                  {1, 2, 3, 3, 3},
                  {4, 2, 1, 1, 1},
                  "one or two are supported",
                  absl::StatusCode::kUnimplemented},
        BadWindow{"RanksDiffer", {}, {1, 2, 8}, {4, 2, 3, 3}, "differ in rank"},
        BadWindow{"ChannelsDiffer", {}, {1, 3, 8}, {4, 2, 3}, "do not fit the 3 channels"},
        BadWindow{"GroupDoesNotDivide", {Int("group", 3)}, {1, 6, 8}, {4, 2, 3}, "'group' is 3"},
        BadWindow{"GroupZero", {Int("group", 0)}, {1, 2, 8}, {4, 2, 3}, "'group' is 0"},
        BadWindow{"KernelLargerThanSrc", {}, {1, 2, 2}, {4, 2, 3}, "does not fit"},
        BadWindow{"KernelShapeDisagrees",
                  {List("kernel_shape", {5})},
                  {1, 2, 8},
                  {4, 2, 3},
                  "not that of the weights"},
        BadWindow{"StrideZero", {List("strides", {0})}, {1, 2, 8}, {4, 2, 3}, "'strides' [0]"},
        BadWindow{"NegativePad", {List("pads", {-1, 0})}, {1, 2, 8}, {4, 2, 3}, "'pads' [-1,0]"},
        BadWindow{
            "HugeStride", {List("strides", {int64_t{1} << 40})}, {1, 2, 8}, {4, 2, 3}, "outside"},
        BadWindow{"PadsCount", {List("pads", {1})}, {1, 2, 8}, {4, 2, 3}, "2 are needed"},
        BadWindow{"AutoPad", {String("auto_pad", "SAME")}, {1, 2, 8}, {4, 2, 3}, "'SAME'"},
        BadWindow{"WrongType",
                  {String("strides", "2")},
                  {1, 2, 8},
                  {4, 2, 3},
                  "'strides' is not a list of integers"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(OpParams, PoolingNeedsAKernelLargerThanItsPadding) {
  EXPECT_THAT(ReadPool(NodeOf("MaxPool"), {1, 2, 8}), StatusIs(kInvalid, HasSubstr("missing")));
  EXPECT_THAT(
      ReadPool(NodeOf("MaxPool", {List("kernel_shape", {2}), List("pads", {2, 0})}), {1, 2, 8}),
      StatusIs(kInvalid, HasSubstr("'pads'")));
}

TEST(OpParams, AveragePoolRemembersThePaddingThatWasAskedFor) {
  const Node node =
      NodeOf("AveragePool", {List("kernel_shape", {3}), List("strides", {2}), List("pads", {1, 1}),
                             Int("ceil_mode", 1), Int("count_include_pad", 1)});
  ASSERT_OK_AND_ASSIGN(const PoolParams params, ReadPool(node, {1, 1, 8}));
  EXPECT_TRUE(params.count_include_pad);
  EXPECT_THAT(params.explicit_pads_end, ElementsAre(1));
  EXPECT_THAT(params.window.pads_end, ElementsAre(2));
}

TEST(OpParams, AxesAreNormalizedSortedAndDistinct) {
  EXPECT_THAT(NormalizeAxes(Ints{-1, 0}, 3), IsOkAndHolds(ElementsAre(0, 2)));
  EXPECT_THAT(NormalizeAxes(Ints{1, -2}, 3), StatusIs(kInvalid, HasSubstr("twice")));
  EXPECT_THAT(NormalizeAxis(3, 3), StatusIs(kInvalid, HasSubstr("rank 3")));
  EXPECT_THAT(NormalizeAxis(-4, 3), StatusIs(kInvalid));
}

TEST(OpParams, ABatchNormWithImpossibleConstantsIsRefused) {
  EXPECT_THAT(ReadBatchNorm(NodeOf("BatchNormalization", {Float("epsilon", 0)})),
              StatusIs(kInvalid, HasSubstr("epsilon")));
  EXPECT_THAT(ReadBatchNorm(NodeOf("BatchNormalization", {Float("momentum", 2)})),
              StatusIs(kInvalid, HasSubstr("momentum")));
  EXPECT_THAT(ReadBatchNorm(NodeOf("BatchNormalization", {Int("training_mode", 2)})),
              StatusIs(kInvalid, HasSubstr("training_mode")));
}

TEST(OpParams, APermutationMustNameEachAxisOnce) {
  EXPECT_THAT(ReadPermutation(NodeOf("Transpose"), 3), IsOkAndHolds(ElementsAre(2, 1, 0)));
  EXPECT_THAT(ReadPermutation(NodeOf("Transpose", {List("perm", {0, 0, 1})}), 3),
              StatusIs(kInvalid, HasSubstr("[0,0,1]")));
  EXPECT_THAT(ReadPermutation(NodeOf("Transpose", {List("perm", {0, 1})}), 3), StatusIs(kInvalid));
}

TEST(OpParams, ClipBoundsDefaultToTheRangeOfFloat) {
  ASSERT_OK_AND_ASSIGN(const ClipParams open, ReadClip(nullptr, nullptr));
  EXPECT_LT(open.min, -3e38f);
  EXPECT_GT(open.max, 3e38f);
  const Tensor two(DType::kFloat32, Shape({2}));
  EXPECT_THAT(ReadClip(&two, nullptr), StatusIs(kInvalid, HasSubstr("lower bound")));
}

TEST(OpParams, ADropoutRatioOfOneIsRefused) {
  const Tensor one = Tensor::Scalar(1.0f);
  EXPECT_THAT(ReadDropoutRatio(&one), StatusIs(kInvalid, HasSubstr("[0, 1)")));
  EXPECT_THAT(ReadDropoutRatio(nullptr), IsOkAndHolds(0.5f));
}

TEST(OpParams, HalfPrecisionIsNamedInTheErrorOfACast) {
  EXPECT_THAT(ReadCastTarget(NodeOf("Cast", {Int("to", 10)})),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("float16")));
  EXPECT_THAT(ReadCastTarget(NodeOf("Cast", {Int("to", 8)})),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("data type 8")));
  EXPECT_THAT(ReadCastTarget(NodeOf("Cast")), StatusIs(kInvalid, HasSubstr("missing")));
}

}  // namespace
}  // namespace topiary
