#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/ascii.h"
#include "common/status_matchers.h"
#include "worker/agent/spec_proto_test_util.h"

namespace topiary {
namespace {

TEST(ConvertSpec, NOfMIsASparsityOfSingleWeights) {
  ASSERT_OK_AND_ASSIGN(
      const JobSpec job,
      Convert(Complete("magnitude { one_shot {} } target { n_of_m { n: 1 m: 4 } }")));
  EXPECT_EQ(job.target->n_of_m->n, 1);
  EXPECT_EQ(job.target->n_of_m->m, 4);
  EXPECT_EQ(job.target->sparsity, 0.75);
  EXPECT_EQ(job.target->block_rows, 1);
  EXPECT_EQ(job.target->block_cols, 1);
}

TEST(ConvertSpec, TakesOverALatencyBudgetAndThatItIsADryRun) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("sequential_attention_pp {} dry_run: true "
                                        "target { latency { ratio: 0.25 batch_size: 8 } }")));
  ASSERT_TRUE(job.target->latency.has_value());
  EXPECT_EQ(job.target->latency->ratio, 0.25);
  EXPECT_EQ(job.target->latency->batch, 8);
  EXPECT_TRUE(job.dry_run);
}

TEST(ConvertSpec, TakesOverAStructure) {
  ASSERT_OK_AND_ASSIGN(
      const JobSpec job,
      Convert(Complete("random {} target { sparsity: 0.5 structure: HEADS min_candidates: 4 }")));
  EXPECT_EQ(job.target->structure, Structure::kHeads);
  EXPECT_EQ(job.target->min_candidates, 4);
  EXPECT_EQ(job.target->protect_first, 1);
  EXPECT_FALSE(job.outputs.block_sparse);
  ASSERT_OK_AND_ASSIGN(const JobSpec blocks,
                       Convert(Complete("random {} target { sparsity: 0.5 }")));
  EXPECT_FALSE(blocks.target->structure.has_value());
}

TEST(ConvertSpec, TakesOverWhichBranchesStay) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("random {} target { sparsity: 0.5 structure: BRANCHES "
                                        "protect_first: 0 protect_last: 3 }")));
  EXPECT_EQ(job.target->protect_first, 0);
  EXPECT_EQ(job.target->protect_last, 3);
}

TEST(ConvertSpec, KnowsEveryStructure) {
  const auto* values = v1::PruningTarget::Structure_descriptor();
  for (int i = 1; i < values->value_count(); ++i) {
    const std::string name(values->value(i)->name());
    ASSERT_OK_AND_ASSIGN(
        const JobSpec job,
        Convert(Complete("random {} target { sparsity: 0.5 structure: " + name + " }")));
    EXPECT_EQ(StructureName(*job.target->structure), absl::AsciiStrToLower(name));
  }
}

TEST(ConvertSpec, TakesOverBudgetsOfSizeAndBoundsOfLayers) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("iht {} target { bytes { ratio: 0.25 } budget: ERK "
                                        "layer_targets { pattern: 'a*' sparsity: 0.5 } "
                                        "layer_targets { pattern: 'b*' max_sparsity: 0.75 } }")));
  ASSERT_TRUE(job.target->size.has_value());
  EXPECT_EQ(job.target->size->amount, SizeBudgetSpec::Amount::kBytes);
  EXPECT_EQ(job.target->size->ratio, 0.25);
  EXPECT_EQ(job.target->budget, BudgetKind::kErk);
  ASSERT_EQ(job.target->layer_targets.size(), 2u);
  EXPECT_EQ(job.target->layer_targets[0].pattern, "a*");
  EXPECT_EQ(job.target->layer_targets[0].min_sparsity, 0.5);
  EXPECT_EQ(job.target->layer_targets[0].max_sparsity, 0.5);
  EXPECT_EQ(job.target->layer_targets[1].min_sparsity, 0);
  EXPECT_EQ(job.target->layer_targets[1].max_sparsity, 0.75);
  ASSERT_OK_AND_ASSIGN(const JobSpec counted,
                       Convert(Complete("iht {} target { flops { count: 12 } }")));
  EXPECT_EQ(counted.target->size->amount, SizeBudgetSpec::Amount::kFlops);
  EXPECT_FALSE(counted.target->size->ratio.has_value());
  EXPECT_EQ(counted.target->size->count, 12);
  ASSERT_OK_AND_ASSIGN(const JobSpec sensitive,
                       Convert(Complete("iht {} target { sparsity: 0.5 budget: SENSITIVITY "
                                        "sensitivity { examples: 7 sparsities: [0.25, 0.5] } }")));
  EXPECT_EQ(sensitive.target->budget, BudgetKind::kSensitivity);
  EXPECT_EQ(sensitive.target->sensitivity.examples, 7);
  EXPECT_THAT(sensitive.target->sensitivity.sparsities, testing::ElementsAre(0.25, 0.5));
}

TEST(ConvertSpec, TakesOverAnAccuracyBound) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert(Complete("iht {} target { sparsity: 0.5 accuracy_bound { metric: "
                                        "LOG_LOSS max_drop_from_given: 0.25 } }")));
  ASSERT_TRUE(job.target->accuracy_bound.has_value());
  EXPECT_EQ(job.target->accuracy_bound->metric, MetricSpec::kLogLoss);
  EXPECT_EQ(job.target->accuracy_bound->reference, AccuracyBoundSpec::Reference::kGiven);
  EXPECT_EQ(job.target->accuracy_bound->limit, 0.25);
}

}  // namespace
}  // namespace topiary
