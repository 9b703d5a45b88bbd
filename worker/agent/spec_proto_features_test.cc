#include <string>

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "worker/agent/spec_proto.h"

namespace topiary {
namespace {

using testing::ElementsAre;

// A job of `text`, with what the tests do not care for.
absl::StatusOr<JobSpec> Convert(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  const std::string digest(64, 'a');
  spec.mutable_model()->add_files()->set_path("model.onnx");
  spec.mutable_model()->mutable_files(0)->set_digest(digest);
  spec.mutable_data()->mutable_train()->mutable_npz()->set_digest(digest);
  v1::Task* task = spec.mutable_task();
  task->set_loss(v1::Task::CROSS_ENTROPY);
  task->set_batch_size(32);
  task->set_epochs(2);
  task->mutable_optimizer()->mutable_sgd();
  task->mutable_learning_rate()->mutable_cosine();
  return ConvertSpec(spec, "/m/model.onnx", {{digest, "/c/a"}}, 2);
}

const FeatureSelectionSpec& SelectionOf(const JobSpec& job) {
  return std::get<FeatureSelectionSpec>(job.method);
}

TEST(ConvertSpec, SequentialAttentionChoosesSoManyFeatures) {
  ASSERT_OK_AND_ASSIGN(const JobSpec job,
                       Convert("feature_selection { count: 7 epochs: 4 sequential_attention { "
                               "features_per_step: 2 warmup_fraction: 0.25 "
                               "logits_learning_rate_multiplier: 3 } "
                               "groups { name: 'g' input: 'x' columns: [4, 2] } }"));
  const FeatureSelectionSpec& selection = SelectionOf(job);
  EXPECT_EQ(selection.count, 7);
  EXPECT_EQ(selection.epochs, 4);
  EXPECT_EQ(selection.steps, 0);
  ASSERT_EQ(selection.groups.size(), 1);
  EXPECT_EQ(selection.groups[0].name, "g");
  EXPECT_EQ(selection.groups[0].input, "x");
  EXPECT_THAT(selection.groups[0].columns, ElementsAre(4, 2));
  const auto& selector = std::get<SequentialAttentionOptions>(selection.selector);
  EXPECT_EQ(selector.features_per_step, 2);
  EXPECT_EQ(selector.warmup_fraction, 0.25);
  EXPECT_EQ(selector.logits_learning_rate_multiplier, 3);
  EXPECT_FALSE(job.outputs.block_sparse);
}

TEST(ConvertSpec, SelectorsHaveTheirOptionsAndTheSeedOfTheTask) {
  const auto convert = [](const std::string& selector) {
    return SelectionOf(
               Convert("feature_selection { count: 7 steps: 9 " + selector + " } task { seed: 5 }")
                   .value())
        .selector;
  };
  const auto omp =
      std::get<OmpOptions>(convert("omp { features_per_step: 2 gradient_batches: 3 }"));
  EXPECT_EQ(omp.features_per_step, 2);
  EXPECT_EQ(omp.gradient_batches, 3);
  const auto sequential = std::get<SequentialLassoOptions>(
      convert("sequential_lasso { features_per_step: 2 strength: 0.5 }"));
  EXPECT_EQ(sequential.features_per_step, 2);
  EXPECT_EQ(sequential.strength, 0.5);
  EXPECT_EQ(sequential.seed, 5);
  const auto lasso = std::get<GroupLassoSelectorOptions>(convert("group_lasso { strength: 0.5 }"));
  EXPECT_EQ(lasso.strength, 0.5);
  EXPECT_EQ(lasso.seed, 5);
  const auto lly = std::get<LiaoLattyYangOptions>(
      convert("liao_latty_yang { mask_learning_rate_multiplier: 3 }"));
  EXPECT_EQ(lly.mask_learning_rate_multiplier, 3);
  EXPECT_EQ(lly.seed, 5);
  const auto gates = std::get<StochasticGatesOptions>(
      convert("stochastic_gates { strength: 0.5 deviation: 2 gates_learning_rate_multiplier: 3 }"));
  EXPECT_EQ(gates.strength, 0.5);
  EXPECT_EQ(gates.deviation, 2);
  EXPECT_EQ(gates.gates_learning_rate_multiplier, 3);
  EXPECT_EQ(gates.seed, 5);
  const auto concrete = std::get<ConcreteAutoencoderOptions>(
      convert("concrete_autoencoder { start_temperature: 5 end_temperature: 0.1 "
              "logits_learning_rate_multiplier: 3 }"));
  EXPECT_EQ(concrete.start_temperature, 5);
  EXPECT_EQ(concrete.end_temperature, 0.1);
  EXPECT_EQ(concrete.logits_learning_rate_multiplier, 3);
  EXPECT_EQ(concrete.seed, 5);
  EXPECT_EQ(std::get<RandomFeaturesOptions>(convert("random {}")).seed, 5);
  EXPECT_TRUE(std::holds_alternative<LinearOmpOptions>(convert("omp_linear {}")));
}

}  // namespace
}  // namespace topiary
