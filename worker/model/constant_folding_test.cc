#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/model/shape_inference.h"
#include "worker/model/testing/graph_builder.h"

// Operators on constants (constant_folding.h), through InferShapes(), which calls them.

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kUnimplemented = absl::StatusCode::kUnimplemented;

struct Folded {
  const char* name;
  std::function<void(GraphBuilder&)> build;  // Makes "y" of int64 constants.
  std::vector<int64_t> values;
};

class FoldedArithmetic : public testing::TestWithParam<Folded> {};

TEST_P(FoldedArithmetic, GivesWhatOnnxSays) {
  GraphBuilder builder;
  builder.Ints("a", {6, 7, -8}).Ints("b", {3, -2, 2}).Ints("two", {2});
  GetParam().build(builder);
  const Graph graph = builder.Output("y", DType::kInt64).Build();
  ASSERT_OK_AND_ASSIGN(const InferredGraph inferred, InferShapes(graph, {}));
  EXPECT_THAT(inferred.live_nodes, IsEmpty());
  EXPECT_THAT(inferred.constants.at("y").span<int64_t>(),
              testing::ElementsAreArray(GetParam().values));
}

INSTANTIATE_TEST_SUITE_P(
    ConstantFolding, FoldedArithmetic,
    testing::Values(
        Folded{"Add",
               [](GraphBuilder& b) {
                 b.Node("Add", {"a", "b"}, {"y"});
               },
               {9, 5, -6}},
        Folded{"SubBroadcasts",
               [](GraphBuilder& b) {
                 b.Node("Sub", {"a", "two"}, {"y"});
               },
               {4, 5, -10}},
        Folded{"Mul",
               [](GraphBuilder& b) {
                 b.Node("Mul", {"a", "b"}, {"y"});
               },
               {18, -14, -16}},
        Folded{"DivTruncates",
               [](GraphBuilder& b) {
                 b.Node("Div", {"a", "b"}, {"y"});
               },
               {2, -3, -4}},
        Folded{"GatherCountsFromTheEnd",
               [](GraphBuilder& b) {
                 b.Ints("i", {-1, 0}).Node("Gather", {"a", "i"}, {"y"});
               },
               {-8, 6}},
        Folded{"Slice",
               [](GraphBuilder& b) {
                 b.Ints("s", {1}).Ints("e", {INT64_MAX}).Node("Slice", {"a", "s", "e"}, {"y"});
               },
               {7, -8}},
        Folded{"SliceBackwards",
               [](GraphBuilder& b) {
                 b.Ints("s", {-1})
                     .Ints("e", {INT64_MIN})
                     .Ints("x", {0})
                     .Ints("d", {-2})
                     .Node("Slice", {"a", "s", "e", "x", "d"}, {"y"});
               },
               {-8, 6}},
        Folded{"SliceOfNothing",
               [](GraphBuilder& b) {
                 b.Ints("s", {2}).Ints("e", {1}).Node("Slice", {"a", "s", "e"}, {"y"});
               },
               {}},
        Folded{
            "Range",
            [](GraphBuilder& b) {
              b.Ints("s", {1}).Ints("e", {8}).Ints("d", {3}).Node("Range", {"s", "e", "d"}, {"y"});
            },
            {1, 4, 7}},
        Folded{"ConcatAndTranspose",
               [](GraphBuilder& b) {
                 b.Ints("r", {2, 3})
                     .Node("Concat", {"a", "b"}, {"c"}, {Int("axis", 0)})
                     .Node("Reshape", {"c", "r"}, {"m"})
                     .Node("Transpose", {"m"}, {"t"})
                     .Ints("flat", {-1})
                     .Node("Reshape", {"t", "flat"}, {"y"});
               },
               {6, 3, 7, -2, -8, 2}},
        Folded{"CastRoundsTowardsZeroAndClamps",
               [](GraphBuilder& b) {
                 b.Node("Constant", {}, {"f"},
                        {Constant("value",
                                  Tensor::FromVector<float>(Shape({3}), {-1.9f, 2.9f, 1e30f}))})
                     .Node("Cast", {"f"}, {"y"}, {Int("to", 7)});
               },
               {-1, 2, INT64_MAX}},
        Folded{"PowOfAnotherExponentType",
               [](GraphBuilder& b) {
                 b.Node("Cast", {"a"}, {"f"}, {Int("to", 1)})
                     .Node("Pow", {"f", "two"}, {"p"})
                     .Node("Cast", {"p"}, {"y"}, {Int("to", 7)});
               },
               {36, 49, 64}},
        Folded{"TriluKeepsTheUpperPart",
               [](GraphBuilder& b) {
                 b.Ints("s", {2, 3, 3})
                     .Node("ConstantOfShape", {"s"}, {"m"},
                           {Constant("value", Tensor::FromVector<int64_t>(Shape({1}), {5}))})
                     .Node("Trilu", {"m"}, {"t"})
                     .Ints("flat", {-1})
                     .Node("Reshape", {"t", "flat"}, {"y"});
               },
               {5, 5, 5, 0, 5, 5, 0, 0, 5, 5, 5, 5, 0, 5, 5, 0, 0, 5}},
        Folded{"TriluAboveTheDiagonal",
               [](GraphBuilder& b) {
                 b.Ints("s", {3, 2})
                     .Ints("one", {1})
                     .Node("ConstantOfShape", {"s"}, {"m"},
                           {Constant("value", Tensor::FromVector<int64_t>(Shape({1}), {5}))})
                     .Node("Trilu", {"m", "one"}, {"t"}, {Int("upper", 1)})
                     .Ints("flat", {-1})
                     .Node("Reshape", {"t", "flat"}, {"y"});
               },
               {0, 5, 0, 0, 0, 0}},
        Folded{"TriluKeepsTheLowerPartWhateverTheDiagonal",
               [](GraphBuilder& b) {
                 b.Ints("s", {2, 3})
                     .Ints("far", {INT64_MIN})
                     .Ints("below", {-1})
                     .Node("ConstantOfShape", {"s"}, {"m"},
                           {Constant("value", Tensor::FromVector<int64_t>(Shape({1}), {5}))})
                     .Node("Trilu", {"m", "below"}, {"t"}, {Int("upper", 0)})
                     .Node("Trilu", {"m", "far"}, {"u"}, {Int("upper", 0)})
                     .Node("Add", {"t", "u"}, {"v"})
                     .Ints("flat", {-1})
                     .Node("Reshape", {"v", "flat"}, {"y"});
               },
               {0, 0, 0, 5, 0, 0}}),
    [](const auto& info) { return std::string(info.param.name); });

struct BadConstant {
  const char* name;
  std::function<void(GraphBuilder&)> build;
  const char* message;
  absl::StatusCode code = kInvalid;
};

class BadConstants : public testing::TestWithParam<BadConstant> {};

TEST_P(BadConstants, AreRefusedInsteadOfComputed) {
  GraphBuilder builder;
  builder.Ints("a", {6, 7, -8}).Ints("zero", {0}).Ints("huge", {int64_t{1} << 20, 1 << 20});
  GetParam().build(builder);
  const Graph graph = builder.Output("y", DType::kInt64).Build();
  EXPECT_THAT(InferShapes(graph, {}), StatusIs(GetParam().code, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    ConstantFolding, BadConstants,
    testing::Values(
        BadConstant{"DivisionByZero",
                    [](GraphBuilder& b) {
                      b.Node("Div", {"a", "zero"}, {"y"});
                    },
                    "divided by zero"},
        BadConstant{"IndexOutOfRange",
                    [](GraphBuilder& b) {
                      b.Ints("i", {3}).Node("Gather", {"a", "i"}, {"y"});
                    },
                    "index 3 is outside"},
        BadConstant{"StepZero",
                    [](GraphBuilder& b) {
                      b.Node("Slice", {"a", "zero", "zero", "zero", "zero"}, {"y"});
                    },
                    "step 0"},
        BadConstant{"SliceLengthsDiffer",
                    [](GraphBuilder& b) {
                      b.Node("Slice", {"a", "zero", "huge"}, {"y"});
                    },
                    "operand 2 has 2 entries"},
        BadConstant{"HugeConstantOfShape",
                    [](GraphBuilder& b) { b.Node("ConstantOfShape", {"huge"}, {"y"}); },
                    "more than"},
        BadConstant{"NegativeConstantOfShape",
                    [](GraphBuilder& b) { b.Node("ConstantOfShape", {"a"}, {"y"}); }, "negative"},
        BadConstant{"PowOfIntegers",
                    [](GraphBuilder& b) {
                      b.Node("Pow", {"a", "a"}, {"y"});
                    },
                    "a power of int64", kUnimplemented},
        BadConstant{"TriluOfAVector", [](GraphBuilder& b) { b.Node("Trilu", {"a"}, {"y"}); },
                    "is no matrix"},
        BadConstant{"EndlessRange",
                    [](GraphBuilder& b) {
                      b.Node("Range", {"zero", "zero", "zero"}, {"y"});
                    },
                    "step is 0"},
        BadConstant{"ConstantWithoutValue", [](GraphBuilder& b) { b.Node("Constant", {}, {"y"}); },
                    "exactly one"},
        BadConstant{"ConstantOfWrongType",
                    [](GraphBuilder& b) { b.Node("Constant", {}, {"y"}, {Float("value_int", 1)}); },
                    "not of the type"},
        BadConstant{
            "ConstantString",
            [](GraphBuilder& b) { b.Node("Constant", {}, {"y"}, {String("value_string", "s")}); },
            "'value_string' is not supported", kUnimplemented},
        BadConstant{"DeclaredTypeDiffers",
                    [](GraphBuilder& b) { b.Node("Cast", {"a"}, {"y"}, {Int("to", 1)}); },
                    "'y' is declared int64, but is float32"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ConstantFolding, ConstantsThatMultiplyInSizeAreBounded) {
  GraphBuilder builder;
  builder.Ints("s", {1 << 12, 1 << 12});
  for (int i = 0; i < 5; ++i) {
    builder.Node("ConstantOfShape", {"s"}, {"c" + std::to_string(i)});
  }
  EXPECT_THAT(InferShapes(builder.Output("c4").Build(), {}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("constants")));
}

}  // namespace
}  // namespace topiary
