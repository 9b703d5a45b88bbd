#include "worker/pipeline/finished_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <set>

#include "common/status_matchers.h"
#include "worker/model/layers.h"
#include "worker/pipeline/memory_estimate.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/prune/block_partition.h"

namespace topiary {
namespace {

using testing::HasSubstr;

std::vector<LayerChoice> Choices(const Graph& graph, int64_t min_blocks) {
  PruningTarget target;
  target.block = {4, 4};
  target.min_blocks = min_blocks;
  const std::vector<PrunableLayer> layers = FindPrunableLayers(graph);
  std::set<std::string> names;
  for (const PrunableLayer& layer : layers) names.insert(layer.weight);
  return ChooseLayers(layers, names, target).value();
}

// Prunes all but the first `keep` blocks of each layer chosen.
std::vector<PrunedWeight> KeepFirst(const std::vector<LayerChoice>& choices, int64_t keep) {
  std::vector<PrunedWeight> pruned;
  for (const LayerChoice& choice : choices) {
    if (choice.partition == nullptr) continue;
    Support support(choice.block_count, 0);
    for (int64_t i = 0; i < keep; ++i) support[i] = 1;
    pruned.push_back({choice.partition, support});
  }
  return pruned;
}

TEST(FoldWeights, WritesEffectiveWeightsAndExactZeros) {
  const Graph graph = MlpGraph();
  const std::vector<LayerChoice> choices = Choices(graph, 10);
  const std::vector<PrunedWeight> pruned = KeepFirst(choices, 3);
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create(graph, &backend));
  const Parameter* p = store->Find("fc2.weight");
  for (int64_t i = 0; i < p->size; ++i) p->effective[i] = -2;
  ASSERT_OK_AND_ASSIGN(const Graph folded, FoldWeights(graph, *store, pruned));
  int live = 0;
  for (const float v : folded.FindInitializer("fc2.weight")->value.span<float>()) {
    if (v == -2) {
      ++live;
    } else {
      EXPECT_EQ(v, 0);
      EXPECT_FALSE(std::signbit(v)) << "a pruned weight is -0";
    }
  }
  EXPECT_EQ(live, 3 * 16);
  // A layer that was not pruned keeps its values.
  EXPECT_TRUE(BitwiseEqual(folded.FindInitializer("head.weight")->value,
                           graph.FindInitializer("head.weight")->value));
}

TEST(DescribeLayers, CountsBlocksZerosAndBytesOfEachLayer) {
  const Graph graph = MlpGraph();
  const std::vector<LayerChoice> choices = Choices(graph, 10);
  const std::vector<PrunedWeight> pruned = KeepFirst(choices, 4);
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto store, ParameterStore::Create(graph, &backend));
  ASSERT_OK_AND_ASSIGN(const Graph folded, FoldWeights(graph, *store, pruned));
  const std::vector<LayerReport> reports = DescribeLayers(folded, choices, pruned);
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_TRUE(reports[0].pruned);
  EXPECT_EQ(reports[0].blocks_live, 4);
  EXPECT_EQ(reports[0].blocks_total, 16);
  EXPECT_EQ(reports[0].zero_elements, 12 * 16);
  EXPECT_EQ(reports[0].dense_bytes, 8 * 32 * 4);
  // Four blocks, four column indices, and row pointers over 8 rows of blocks.
  EXPECT_EQ(reports[0].stored_bytes, 4 * 16 * 4 + 4 * 4 + 9 * 4);
  EXPECT_FALSE(reports[2].pruned);
  EXPECT_THAT(reports[2].dense_reason, HasSubstr("fewer than 10"));
  EXPECT_EQ(reports[2].stored_bytes, reports[2].dense_bytes);
}

TEST(DescribeLayers, WithoutPruningEveryLayerIsDenseWithoutAReason) {
  const std::vector<LayerReport> reports = DescribeLayers(MlpGraph(), {}, {});
  ASSERT_EQ(reports.size(), 3u);
  for (const LayerReport& report : reports) {
    EXPECT_FALSE(report.pruned);
    EXPECT_TRUE(report.dense_reason.empty());
    EXPECT_EQ(report.blocks_total, 0);
  }
}

TEST(WarningsAbout, PointsOutALayerLeftWithOneBlock) {
  LayerReport layer;
  layer.name = "fc2.weight";
  layer.pruned = true;
  layer.blocks_total = 48;
  layer.blocks_live = 1;
  layer.elements = 100;
  layer.zero_elements = 98;
  EXPECT_THAT(WarningsAbout({layer}, 0.98),
              testing::ElementsAre(HasSubstr("'fc2.weight' keeps 1 of 48")));
}

TEST(WarningsAbout, PointsOutThatDenseLayersLowerTheSparsity) {
  LayerReport layer;
  layer.elements = 100;
  layer.zero_elements = 60;
  EXPECT_THAT(WarningsAbout({layer}, 0.9), testing::ElementsAre(HasSubstr("0.600")));
  EXPECT_TRUE(WarningsAbout({layer}, 0.6).empty());
}

TEST(WarningAboutSpeed, NamesLayersThatArePrunedTooLittleToPay) {
  LatencyReport latency;
  latency.batch = 64;
  std::vector<LayerReport> layers;
  for (const char* name : {"pays", "little", "never", "dense"}) {
    LayerReport layer;
    layer.name = name;
    layer.pruned = layer.name != "dense";
    layer.elements = 100;
    layer.zero_elements = 60;
    layers.push_back(layer);
  }
  latency.break_even_sparsity = {{"pays", 0.6}, {"little", 0.75}, {"never", 1}, {"dense", 1}};
  EXPECT_THAT(WarningAboutSpeed(layers, std::nullopt, latency),
              HasSubstr("at batch 64 leaving out pruned blocks is not faster on this machine for 2 "
                        "of 3 pruned layers: 'little' (60 %, pays from 75 %), 'never' (60 %, never "
                        "pays); prune them further"));
  latency.break_even_sparsity = {{"pays", 0.6}};
  EXPECT_EQ(WarningAboutSpeed(layers, std::nullopt, latency), "");
  latency.dense.p50 = 2;
  latency.block_sparse = LatencyStatistics{1, 1};
  EXPECT_EQ(WarningAboutSpeed(layers, LatencyBudgetReport{0.5, 64}, latency), "");
  EXPECT_EQ(WarningAboutSpeed(layers, LatencyBudgetReport{0.4, 1}, latency), "");
  EXPECT_EQ(WarningAboutSpeed(layers, LatencyBudgetReport{0.4, 64}, latency),
            "at batch 64 the model takes 50.0 % of its dense time, 40.0 % was asked for");
}

TEST(MemoryEstimate, GrowsWithTheBatchAndKnowsTheOptimizer) {
  const Graph graph = ConvGraph();
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate one,
                       EstimateMemory(graph, {1, OptimizerKind::kSgd, 500, {}, 0}));
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate many,
                       EstimateMemory(graph, {10, OptimizerKind::kAdam, 500, {}, 0}));
  EXPECT_EQ(many.activations, 10 * one.activations);
  EXPECT_GT(many.weights, one.weights);
  EXPECT_GT(many.checkpoint, one.checkpoint);
  EXPECT_EQ(one.data, 500);
  // At least the two feature maps after each convolution.
  EXPECT_GT(one.activations, 2 * 8 * 36 * 4);
}

TEST(MemoryEstimate, ATeacherIsASecondModel) {
  const Graph graph = ConvGraph();
  MemoryNeeds needs;
  needs.optimizer = OptimizerKind::kSgd;
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate alone, EstimateMemory(graph, needs));
  needs.teacher = true;
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate taught, EstimateMemory(graph, needs));
  EXPECT_EQ(taught.weights - alone.weights, alone.weights / 2) << "2 of 4 copies";
  EXPECT_GT(taught.activations, alone.activations);
}

TEST(MemoryEstimate, WeightsToGoBackToAreOneMoreCopyHereAndInACheckpoint) {
  const Graph graph = ConvGraph();
  MemoryNeeds needs;
  needs.optimizer = OptimizerKind::kSgd;
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate straight, EstimateMemory(graph, needs));
  needs.rewinds = true;
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate rewinding, EstimateMemory(graph, needs));
  EXPECT_EQ(rewinding.weights - straight.weights, straight.weights / 4) << "1 of 4 copies";
  EXPECT_EQ(rewinding.checkpoint - straight.checkpoint, straight.checkpoint / 2);
}

TEST(MemoryEstimate, AnEvaluationKeepsLessThanATraining) {
  const Graph graph = ConvGraph();
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate training,
                       EstimateMemory(graph, {8, OptimizerKind::kSgd, 0, {}, 0}));
  ASSERT_OK_AND_ASSIGN(const MemoryEstimate evaluation,
                       EstimateMemory(graph, {8, std::nullopt, 0, {}, 0}));
  EXPECT_LT(evaluation.weights, training.weights);
  EXPECT_LT(evaluation.activations, training.activations);
  EXPECT_GT(evaluation.activations, 0);
  EXPECT_EQ(evaluation.checkpoint, 0);
}

TEST(MemoryEstimate, PredictionsAreHeldWithTheirArchive) {
  MemoryNeeds needs;
  needs.prediction_bytes = 1000;
  EXPECT_EQ(EstimateMemory(ConvGraph(), needs)->predictions, 3000);
}

TEST(MemoryEstimate, TinyBlocksCostMoreThanTheirWeights) {
  const Graph graph = ConvGraph();
  const PrunableLayer layer = FindPrunableLayers(graph).back();
  const auto bytes = [&](const BlockShape& block) {
    MemoryNeeds needs;
    needs.optimizer = OptimizerKind::kSgd;
    needs.partitions.push_back(
        std::make_shared<const BlockPartition>(*BlockPartition::Create(layer, block)));
    return EstimateMemory(graph, needs)->blocks;
  };
  const int64_t weight = layer.element_count() * static_cast<int64_t>(sizeof(float));
  EXPECT_GT(bytes({1, 1}), 4 * weight);
  EXPECT_LT(bytes({4, 4}), bytes({1, 1}) / 4);
}

// But single weights are summed once, whoever does it.
TEST(MemoryEstimate, EachThreadSumsTheGradientsOfBlocks) {
  const Graph graph = ConvGraph();
  const PrunableLayer layer = FindPrunableLayers(graph).back();
  for (const BlockShape& block : {BlockShape{1, 1}, BlockShape{4, 4}}) {
    MemoryNeeds needs;
    needs.optimizer = OptimizerKind::kSgd;
    needs.partitions.push_back(
        std::make_shared<const BlockPartition>(*BlockPartition::Create(layer, block)));
    const int64_t one = EstimateMemory(graph, needs)->blocks;
    needs.threads = 5;
    const int64_t more = EstimateMemory(graph, needs)->blocks;
    const int64_t blocks = needs.partitions[0]->block_count();
    EXPECT_EQ(more - one, block.rows == 1 ? 0 : 4 * 4 * blocks);
    needs.clips_gradients = true;
    EXPECT_EQ(EstimateMemory(graph, needs)->blocks - more, 4 * blocks * (block.rows == 1 ? 1 : 5));
  }
}

TEST(MemoryEstimate, TheLimitIsHeldWithFigures) {
  MemoryEstimate estimate;
  estimate.data = 3 << 20;
  estimate.weights = 5 << 20;
  estimate.activations = 8 << 20;
  EXPECT_OK(CheckMemoryLimit(estimate, 0));
  EXPECT_OK(CheckMemoryLimit(estimate, 16 << 20));
  EXPECT_THAT(CheckMemoryLimit(estimate, 15 << 20),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       testing::AllOf(HasSubstr("16 MiB"), HasSubstr("activations 8 MiB"),
                                      HasSubstr("15 MiB"))));
}

}  // namespace
}  // namespace topiary
