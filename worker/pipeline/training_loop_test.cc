#include "worker/pipeline/training_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/status_matchers.h"
#include "worker/model/layers.h"
#include "worker/pipeline/pipeline_test_util.h"
#include "worker/pipeline/prepared_data.h"
#include "worker/pipeline/task.h"
#include "worker/prune/dense_method.h"
#include "worker/prune/magnitude.h"
#include "worker/prune/rigl.h"
#include "worker/prune/sequential_attention_pp.h"
#include "worker/prune/snip.h"

namespace topiary {
namespace {

constexpr int64_t kSteps = 30;

class Training : public testing::Test {
 protected:
  // The examples of SmallJob().
  void Use(const Graph& graph) {
    graph_ = graph.Clone();
    const std::string folder = NewTestFolder();
    const JobSpec spec = SmallJob(folder, graph_);
    task_ = spec.task;
    data_ =
        PrepareData(spec.data, task_.loss, 0, RequirementsOf(graph_, task_.loss).value(), 0, [] {
          return absl::OkStatus();
        }).value();
  }

  std::vector<MethodLayer> Layers() const {
    std::vector<MethodLayer> layers;
    for (const PrunableLayer& layer : FindPrunableLayers(graph_)) {
      layers.push_back({layer.weight, std::make_shared<const BlockPartition>(
                                          BlockPartition::Create(layer, {4, 4}).value())});
    }
    return layers;
  }
  static PruningTarget Target() {
    PruningTarget target;
    target.sparsity = 0.75;
    return target;
  }
  std::unique_ptr<Method> Attention(const SequentialAttentionPlusPlusOptions& options = {}) {
    return NewSequentialAttentionPlusPlus(options, Target(), Layers(), kSteps).value();
  }
  std::unique_ptr<TrainingLoop> NewLoop(std::unique_ptr<Method> method) {
    BreakEvenDensities break_evens;
    for (const MethodLayer& layer : method->layers()) {
      if (HasSkippableBlocks(layer.partition->layer())) break_evens[layer.weight] = break_even_;
    }
    return TrainingLoop::Create(graph_, &backend_, data_.train, task_, std::move(method),
                                std::move(break_evens))
        .value();
  }
  static std::vector<float> WeightsOf(const TrainingLoop& loop, const std::string& name) {
    const Parameter* p = const_cast<TrainingLoop&>(loop).store()->Find(name);
    return {p->value, p->value + p->size};
  }
  static void RunTo(TrainingLoop* loop, int64_t step) {
    while (loop->next_step() < step) ASSERT_OK(loop->Step().status());
  }

  double break_even_ = 0.5;
  ReferenceBackend backend_;
  Graph graph_;
  TaskSpec task_;
  PreparedData data_;
};

bool LeavesBlocksOut(const TrainingLoop& loop) {
  const std::vector<std::string>& steps = loop.program().statistics().backward_steps;
  return std::any_of(steps.begin(), steps.end(), [](const std::string& step) {
    return step.find("+sparse") != std::string::npos;
  });
}

// Dense to step 6, sparsification to 21, sparse to 30.
TEST_F(Training, PrunedBlocksAreLeftOutOnceTheSupportIsFrozen) {
  Use(MlpGraph());
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), 21);
  EXPECT_FALSE(LeavesBlocksOut(*loop));
  RunTo(loop.get(), 22);
  EXPECT_TRUE(LeavesBlocksOut(*loop));
}

TEST_F(Training, NothingIsLeftOutWhereThatDoesNotPay) {
  Use(MlpGraph());
  break_even_ = 0.2;
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), 25);
  EXPECT_FALSE(LeavesBlocksOut(*loop));
}

// A square weight that a node multiplies transposed, and another, which nobody needs, as it is:
// which way its blocks lie cannot be told from the first node that has it.
TEST_F(Training, AWeightOfSeveralNodesIsMultipliedWhole) {
  GraphBuilder b({8});
  const std::string w = b.Weight("w", Shape({8, 8}), 0.4F);
  b.Add("MatMul", {"x", w});
  const std::string h = b.Add("Gemm", {"x", w}, {{"transB", int64_t{1}}});
  Use(b.Finish(b.Linear("head", h, 8, 3)));
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), 25);
  EXPECT_THAT(loop->program().statistics().sparse_weights, testing::Not(testing::Contains("w")));
}

// Cycles end sparse phases with a dense one, in which every block learns again.
TEST_F(Training, ADensePhaseAfterASparseOneTrainsEveryBlock) {
  Use(MlpGraph());
  SequentialAttentionPlusPlusOptions options;
  options.phases = {{PhaseKind::kSparsify, 0.3},
                    {PhaseKind::kSparse, 0.2},
                    {PhaseKind::kDense, 0.3},
                    {PhaseKind::kSparse, 0.2}};
  const auto loop = NewLoop(Attention(options));
  RunTo(loop.get(), 15);
  EXPECT_TRUE(LeavesBlocksOut(*loop));
  const std::vector<float> before = WeightsOf(*loop, "fc2.weight");
  RunTo(loop.get(), 17);
  EXPECT_FALSE(LeavesBlocksOut(*loop));
  const std::vector<float> after = WeightsOf(*loop, "fc2.weight");
  int64_t changed = 0;
  for (size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i] ? 1 : 0;
  EXPECT_GT(changed, static_cast<int64_t>(before.size() / 2));
}

TEST_F(Training, StepsThatHoldTheWeightsChangeNone) {
  Use(MlpGraph());
  task_.optimizer.weight_decay = 0.1;
  const auto loop = NewLoop(NewSnip(SnipOptions{3}, Target(), Layers(), kSteps).value());
  std::vector<std::vector<float>> given;
  for (const Parameter& p : loop->store()->parameters()) given.push_back(WeightsOf(*loop, p.name));
  RunTo(loop.get(), 3);
  size_t i = 0;
  for (const Parameter& p : loop->store()->parameters()) {
    EXPECT_EQ(WeightsOf(*loop, p.name), given[i++]) << p.name;
  }
  EXPECT_EQ(LiveBlocks(loop->method().support(1)), 48);
  RunTo(loop.get(), 4);
  EXPECT_EQ(LiveBlocks(loop->method().support(1)), 12);
  EXPECT_NE(WeightsOf(*loop, loop->store()->parameters()[0].name), given[0]);
}

TEST_F(Training, RigLGrowsBlocksInAStepThatUpdatesNothingAndTrainsThem) {
  Use(MlpGraph());
  RigLOptions options;
  options.update_steps = 4;
  PruningTarget target;
  target.sparsity = 0.25;  // So that nearly every unit has an input and an output.
  const auto loop = NewLoop(NewRigL(options, target, Layers(), kSteps).value());
  RunTo(loop.get(), 4);
  const Support before = loop->method().support(1);
  std::vector<float> expected = WeightsOf(*loop, "fc2.weight");
  RunTo(loop.get(), 5);
  const Support after = loop->method().support(1);
  EXPECT_NE(before, after);
  EXPECT_EQ(LiveBlocks(after), 36);
  const BlockPartition& partition = *loop->method().layers()[1].partition;
  Support not_grown(after.size());
  for (size_t b = 0; b < after.size(); ++b) not_grown[b] = after[b] == 0 || before[b] != 0;
  partition.ZeroPruned(not_grown, absl::MakeSpan(expected));
  EXPECT_EQ(WeightsOf(*loop, "fc2.weight"), expected);
  RunTo(loop.get(), 8);
  const std::vector<double> squares = partition.SumsOfSquares(WeightsOf(*loop, "fc2.weight"));
  double grown = 0;
  for (size_t b = 0; b < after.size(); ++b) grown += not_grown[b] == 0 ? squares[b] : 0;
  EXPECT_GT(grown, 0);
}

TEST_F(Training, SequentialAttentionStartsWithTheDenseLossBitForBit) {
  Use(MlpGraph());
  const auto dense = NewLoop(NewDenseMethod(kSteps).value());
  const auto attention = NewLoop(Attention());
  EXPECT_EQ(dense->Step().value().loss, attention->Step().value().loss);
}

TEST_F(Training, ADensePhaseWhoseLogitsDoNotMoveTrainsAsDenseBitForBit) {
  Use(ConvGraph());
  SequentialAttentionPlusPlusOptions options;
  options.logits_learning_rate_multiplier = 1e-30;
  options.phases = {{PhaseKind::kDense, 0.8}, {PhaseKind::kSparse, 0.2}};
  const auto dense = NewLoop(NewDenseMethod(kSteps).value());
  const auto attention = NewLoop(Attention(options));
  RunTo(dense.get(), 20);
  RunTo(attention.get(), 20);
  for (const Parameter& parameter : dense->store()->parameters()) {
    EXPECT_EQ(WeightsOf(*dense, parameter.name), WeightsOf(*attention, parameter.name))
        << parameter.name;
  }
}

TEST_F(Training, EffectiveWeightsAreScaleTimesRawAndPrunedBlocksAreZero) {
  Use(MlpGraph());
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), kSteps);
  loop->RefreshEffectiveWeights();
  for (size_t i = 0; i < loop->method().layers().size(); ++i) {
    const Parameter* p = loop->store()->Find(loop->method().layers()[i].weight);
    const absl::Span<const float> scales = loop->method().scales(static_cast<int>(i));
    for (const BlockRun& run : p->runs->runs) {
      for (int j = 0; j < run.length; ++j) {
        const int64_t at = run.offset + int64_t{j} * run.stride;
        EXPECT_EQ(p->effective[at], scales[run.block] * p->value[at]);
      }
    }
  }
}

TEST_F(Training, RawWeightsOfPrunedBlocksNeitherMoveNorDecay) {
  Use(MlpGraph());
  task_.optimizer.weight_decay = 0.1;
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), 22);  // In the sparse phase.
  const std::vector<float> before = WeightsOf(*loop, "fc2.weight");
  RunTo(loop.get(), 29);
  const std::vector<float> after = WeightsOf(*loop, "fc2.weight");
  const Support& support = loop->method().support(1);
  int pruned = 0;
  int moved = 0;
  for (const BlockRun& run : loop->store()->Find("fc2.weight")->runs->runs) {
    for (int j = 0; j < run.length; ++j) {
      const int64_t at = run.offset + int64_t{j} * run.stride;
      if (support[run.block] == 0) {
        EXPECT_EQ(after[at], before[at]);
        ++pruned;
      } else if (after[at] != before[at]) {
        ++moved;
      }
    }
  }
  EXPECT_GT(pruned, 0);
  EXPECT_GT(moved, 0);
}

TEST_F(Training, LookingAtTheWeightsBetweenStepsChangesNothing) {
  Use(ConvGraph());
  const auto quiet = NewLoop(Attention());
  const auto watched = NewLoop(Attention());
  for (int64_t step = 0; step < kSteps; ++step) {
    const float loss = quiet->Step().value().loss;
    EXPECT_EQ(watched->Step().value().loss, loss) << "step " << step;
    watched->RefreshEffectiveWeights();
    watched->Save();
  }
}

TEST_F(Training, LossFallsOnALearnableTask) {
  Use(MlpGraph());
  const auto loop = NewLoop(NewDenseMethod(kSteps).value());
  float first = 0;
  float last = 0;
  for (int i = 0; i < 6; ++i) first += loop->Step().value().loss;
  RunTo(loop.get(), kSteps - 6);
  for (int i = 0; i < 6; ++i) last += loop->Step().value().loss;
  EXPECT_LT(last, 0.6F * first);
}

TEST_F(Training, SaysWhenAPhaseEnds) {
  Use(MlpGraph());
  const auto loop = NewLoop(Attention());
  std::vector<int64_t> ends;
  while (loop->next_step() < kSteps) {
    if (loop->Step().value().phase_ended) ends.push_back(loop->next_step());
  }
  EXPECT_THAT(ends, testing::ElementsAre(6, 21, 30));
}

TEST_F(Training, RefusesTheStateOfAnotherModel) {
  Use(MlpGraph());
  const auto mlp = NewLoop(Attention());
  const MethodState state = mlp->Save();
  Use(ConvGraph());
  const auto conv = NewLoop(Attention());
  EXPECT_THAT(conv->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("checkpoint")));
}

TEST_F(Training, RefusesAStepBeyondTheRun) {
  Use(MlpGraph());
  const auto loop = NewLoop(Attention());
  MethodState state = loop->Save();
  state.find("steps")->second = Tensor::FromVector<int64_t>(Shape({3}), {kSteps + 1, 0, 0});
  EXPECT_THAT(loop->Load(state),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("step 31")));
}

// ---- Gradients through a real network
// --------------------------------------------------------------

// The logits' gradient from inner products against differences of the loss, with pruned blocks and
// clipped attention.
class LogitGradients
    : public Training,
      public testing::WithParamInterface<SequentialAttentionPlusPlusOptions::Softmax> {};

TEST_P(LogitGradients, OfARealNetworkMatchFiniteDifferences) {
  GraphBuilder builder({8});
  std::string v = builder.Add("Tanh", {builder.Linear("fc1", "x", 8, 12)});
  Use(builder.Finish(builder.Linear("head", v, 12, 3)));
  SequentialAttentionPlusPlusOptions options;
  options.phases = {{PhaseKind::kDense, 0.5}, {PhaseKind::kSparse, 0.5}};
  options.softmax = GetParam();
  const auto method = Attention(options);
  const auto store = ParameterStore::Create(graph_, &backend_).value();
  for (const MethodLayer& layer : method->layers()) {
    ASSERT_OK(store->Reparameterize(layer.weight, layer.partition->runs()));
  }
  ProgramOptions program_options;
  program_options.batch = 16;
  program_options.loss = LossKind::kSoftmaxCrossEntropy;
  const auto program = Program::Build(graph_, store.get(), &backend_, program_options).value();
  const auto scaling = BlockScaling::Create(store.get()).value();
  std::copy_n(data_.train.inputs[0].values.data<float>(), 16 * 8,
              static_cast<float*>(program->inputs()[0].data));
  for (int i = 0; i < 16; ++i) static_cast<int32_t*>(program->labels().data)[i] = i % 3;

  std::vector<TrainableState> states = method->trainable_state();
  Random random(1, kStreamTest, 0);
  for (TrainableState& state : states) {
    for (int64_t i = 0; i < state.size; ++i) state.value[i] = 1.5F * random.Normal();
  }
  StoreLayerTensors reader(store.get(), method->layers());
  method->BeginStep(kSteps / 2, reader);  // A quarter of the blocks lives.
  const auto loss = [&] {
    method->RefreshScales();
    for (size_t i = 0; i < method->layers().size(); ++i) {
      const absl::Span<const float> scales = method->scales(static_cast<int>(i));
      std::copy(scales.begin(), scales.end(), store->Find(method->layers()[i].weight)->block_scale);
    }
    scaling->ApplyScales();
    program->ForwardBackward();
    return double{program->loss()};
  };
  loss();
  scaling->ComputeInnerProducts();
  std::vector<absl::Span<const float>> products;
  for (const MethodLayer& layer : method->layers()) {
    const Parameter* p = store->Find(layer.weight);
    products.emplace_back(p->block_inner_product, p->runs->block_count);
  }
  method->EndStep(products);
  for (TrainableState& state : states) {
    const std::vector<float> analytic(state.gradient, state.gradient + state.size);
    for (int64_t i = 0; i < state.size; ++i) {
      EXPECT_NEAR(analytic[i], CentralDifference(&state.value[i], loss), 2e-4)
          << state.name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Softmaxes, LogitGradients,
                         testing::Values(SequentialAttentionPlusPlusOptions::Softmax::kLayer,
                                         SequentialAttentionPlusPlusOptions::Softmax::kGlobal),
                         [](const auto& info) { return info.index == 0 ? "Layer" : "Global"; });

TEST_F(Training, TheNormLeavesOutGradientsOfPrunedBlocks) {
  Use(MlpGraph());
  const auto store = ParameterStore::Create(graph_, &backend_).value();
  const std::vector<MethodLayer> layers = Layers();
  ASSERT_OK(store->Reparameterize(layers[1].weight, layers[1].partition->runs()));
  ASSERT_OK_AND_ASSIGN(const auto norm, TrainedGradientNorm::Create(store.get(), {}));
  double expected = 0;
  for (const Parameter& p : store->parameters()) {
    for (int64_t i = 0; i < p.size; ++i) p.gradient[i] = 0.01F * static_cast<float>(i % 7);
    if (p.runs == nullptr) {
      for (int64_t i = 0; i < p.size; ++i) expected += std::pow(double{p.gradient[i]}, 2);
      continue;
    }
    for (int64_t b = 0; b < p.runs->block_count; ++b) p.block_scale[b] = b % 3 == 0 ? 2.0F : 0.0F;
    for (const BlockRun& run : p.runs->runs) {
      for (int j = 0; j < run.length; ++j) {
        const double g = p.gradient[run.offset + int64_t{j} * run.stride];
        expected += std::pow(p.block_scale[run.block] * g, 2);
      }
    }
  }
  EXPECT_NEAR(norm->Compute(), std::sqrt(expected), 1e-5);
}

TEST_F(Training, ClippingKeepsTheRunFinite) {
  Use(MlpGraph());
  task_.learning_rate.base = 5;
  task_.clip_gradient_norm = 0.01;
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), kSteps);
  EXPECT_OK(loop->CheckWeightsAreFinite());
}

// ---- BatchNorm
// -------------------------------------------------------------------------------------

TEST_F(Training, ReestimatedStatisticsAreTheMeanOverBatchesAndTheSameEachTime) {
  Use(ConvGraph());
  const auto loop = NewLoop(Attention());
  RunTo(loop.get(), kSteps);
  loop->RefreshEffectiveWeights();
  const std::vector<float> trained = WeightsOf(*loop, "c1.mean");
  const std::vector<float> weights = WeightsOf(*loop, "c1.weight");
  const auto check = [] { return absl::OkStatus(); };
  ASSERT_OK(loop->ReestimateBatchNorm(6, check));
  const std::vector<float> first = WeightsOf(*loop, "c1.mean");
  ASSERT_OK(loop->ReestimateBatchNorm(6, check));
  EXPECT_EQ(WeightsOf(*loop, "c1.mean"), first);
  EXPECT_NE(first, trained);
  EXPECT_EQ(WeightsOf(*loop, "c1.weight"), weights) << "nothing else may change";
}

TEST_F(Training, ReestimationIsLeftOutWhereThereIsNoBatchNorm) {
  Use(MlpGraph());
  const auto loop = NewLoop(Attention());
  int asked = 0;
  ASSERT_OK(loop->ReestimateBatchNorm(6, [&] {
    ++asked;
    return absl::OkStatus();
  }));
  EXPECT_EQ(asked, 0);
}

TEST_F(Training, ReestimationCanBeStopped) {
  Use(ConvGraph());
  const auto loop = NewLoop(Attention());
  EXPECT_THAT(loop->ReestimateBatchNorm(6, [] { return absl::CancelledError("stop"); }),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(Training, AWeightThatIsNotFiniteIsNamed) {
  Use(MlpGraph());
  const auto loop = NewLoop(NewDenseMethod(kSteps).value());
  loop->store()->Find("fc2.weight")->value[3] = NAN;
  EXPECT_THAT(loop->CheckWeightsAreFinite(),
              StatusIs(absl::StatusCode::kFailedPrecondition, testing::HasSubstr("fc2.weight")));
}

TEST_F(Training, ABatchLargerThanTheDataSetIsTheWholeDataSet) {
  Use(MlpGraph());
  task_.batch_size = 1000;
  const auto loop = NewLoop(NewDenseMethod(kSteps).value());
  EXPECT_EQ(loop->batch_size(), 96);
  EXPECT_EQ(loop->batches_per_epoch(), 1);
  EXPECT_OK(loop->Step().status());
}

}  // namespace
}  // namespace topiary
