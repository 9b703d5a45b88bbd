#include "worker/prune/block_skipping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/batch_norm_folding.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::Key;

std::shared_ptr<const BlockSparsePattern> Keeping(int kept_of_ten) {
  std::vector<uint8_t> kept(10, 0);
  for (int i = 0; i < kept_of_ten; ++i) kept[i] = 1;
  return std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(16, 160, 16, 16, kept));
}

TEST(WorthSkipping, IsWhatKeepsNoMoreThanItsBreakEvenDensity) {
  const SparseWeights weights = {
      {"at", Keeping(5)}, {"above", Keeping(6)}, {"below", Keeping(1)}, {"unknown", Keeping(1)}};
  EXPECT_THAT(WorthSkipping(weights, {{"at", 0.5}, {"above", 0.5}, {"below", 0.15}, {"other", 1}}),
              ElementsAre(Key("at"), Key("below")));
  EXPECT_THAT(WorthSkipping(weights, {{"at", 0}, {"below", 0}}), testing::IsEmpty());
}

// Folding takes nodes out of the graph, so that layers stand elsewhere in it.
TEST(InferenceCosts, AreThoseOfTheGraphThatRuns) {
  GraphBuilder b;
  b.Input("x", {GraphBuilder::kBatch, 8, 6, 6});
  std::string v = "x";
  for (const std::string name : {"first", "second"}) {
    b.Weight(name, Shape({8, 8, 3, 3})).Node("Conv", {v, name}, {name + "_c"});
    for (const char* statistic : {"_s", "_b", "_m", "_v"}) b.Weight(name + statistic, Shape({8}));
    v = name + "_n";
    b.Node("BatchNormalization", {name + "_c", name + "_s", name + "_b", name + "_m", name + "_v"},
           {v});
  }
  const Graph served = FoldBatchNormalization(b.Output(v).Build());
  ReferenceBackend backend;
  FixedLayerCosts costs;
  InferenceOptions options;
  options.batch = 6;
  options.examples_at_once = 2;
  ASSERT_OK_AND_ASSIGN(const auto found,
                       InferenceCosts(served, {{"first", {8, 8}}, {"second", {8, 8}}}, options,
                                      &costs, &backend, [] { return absl::OkStatus(); }));
  EXPECT_THAT(found, ElementsAre(Key("first"), Key("second")));
  EXPECT_EQ(found.at("first").dense_seconds, 3) << "three parts of a second each";
}

}  // namespace
}  // namespace topiary
