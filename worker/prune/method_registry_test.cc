#include "worker/prune/method_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

TEST(MethodRegistry, MakesEachMethodUnderItsOwnName) {
  for (const std::string& name : MethodNames()) {
    MethodOptions options;
    options.name = name;
    ASSERT_OK_AND_ASSIGN(const auto method,
                         NewMethod(options, {}, {LinearLayer("fc", 40, 40, {4, 4})}, 10));
    EXPECT_EQ(method->name(), name);
    EXPECT_EQ(method->plan().total_steps(), 10);
  }
}

TEST(MethodRegistry, UnknownNameListsTheKnownOnes) {
  MethodOptions options;
  options.name = "lottery";
  EXPECT_THAT(NewMethod(options, {}, {}, 10).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::AllOf(testing::HasSubstr("'lottery'"),
                                      testing::HasSubstr("sequential_attention_pp"))));
}

TEST(MethodRegistry, OnlyDenseDoesNotPrune) {
  EXPECT_FALSE(MethodPrunes("dense"));
  EXPECT_TRUE(MethodPrunes("ac_dc"));
  EXPECT_TRUE(MethodPrunes("group_lasso"));
  EXPECT_TRUE(MethodPrunes("iht"));
  EXPECT_TRUE(MethodPrunes("magnitude"));
  EXPECT_TRUE(MethodPrunes("movement"));
  EXPECT_TRUE(MethodPrunes("power_propagation"));
  EXPECT_TRUE(MethodPrunes("random"));
  EXPECT_TRUE(MethodPrunes("rigl"));
  EXPECT_TRUE(MethodPrunes("sequential_attention_pp"));
  EXPECT_TRUE(MethodPrunes("snip"));
  EXPECT_FALSE(MethodPrunes("lottery"));
}

TEST(DenseMethod, IsOneDensePhaseOverNoLayers) {
  MethodOptions options;
  options.name = "dense";
  ASSERT_OK_AND_ASSIGN(const auto method,
                       NewMethod(options, {}, {LinearLayer("fc", 40, 40, {4, 4})}, 10));
  FakeWeights weights({});
  EXPECT_TRUE(method->BeginStep(0, weights).phase_begins);
  EXPECT_FALSE(method->BeginStep(0, weights).reset_optimizer);
  EXPECT_TRUE(method->layers().empty());
  EXPECT_EQ(CountBlocks(*method).total, 0);
  ASSERT_EQ(method->plan().phases().size(), 1u);
  EXPECT_EQ(method->plan().phases()[0].kind, PhaseKind::kDense);
}

}  // namespace
}  // namespace topiary
