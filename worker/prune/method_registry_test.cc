#include "worker/prune/method_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status_matchers.h"
#include "worker/prune/method_test_util.h"

namespace topiary {
namespace {

template <size_t... kIndices>
std::vector<MethodOptions> EveryMethod(std::index_sequence<kIndices...>) {
  return {MethodOptions(std::in_place_index<kIndices>)...};
}

TEST(MethodRegistry, MakesEachMethodUnderItsOwnName) {
  constexpr int64_t kSteps = 1000;  // Enough for each with its defaults.
  std::set<std::string> names;
  for (const MethodOptions& options :
       EveryMethod(std::make_index_sequence<std::variant_size_v<MethodOptions>>())) {
    ASSERT_OK_AND_ASSIGN(const auto method,
                         NewMethod(options, {}, {LinearLayer("fc", 40, 40, {4, 4})}, kSteps));
    EXPECT_EQ(method->name(), RegisteredName(options));
    EXPECT_EQ(method->plan().total_steps(), kSteps);
    EXPECT_TRUE(names.emplace(method->name()).second) << method->name();
    EXPECT_EQ(Prunes(options), !method->layers().empty()) << method->name();
  }
  EXPECT_EQ(names.count("sequential_attention_pp"), 1u);
}

TEST(MethodRegistry, TakesTheOptionsOver) {
  SequentialAttentionPlusPlusOptions attention;
  attention.logits_learning_rate_multiplier = -1;
  EXPECT_THAT(NewMethod(attention, {}, {LinearLayer("fc", 40, 40, {4, 4})}, 10).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("logits_learning_rate_multiplier")));
}

TEST(DenseMethod, IsOneDensePhaseOverNoLayers) {
  ASSERT_OK_AND_ASSIGN(const auto method,
                       NewMethod(DenseOptions(), {}, {LinearLayer("fc", 40, 40, {4, 4})}, 10));
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
