// Tables of which only the rows that a step reads are updated, beside the same tables updated
// whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "common/random.h"
#include "common/status_matchers.h"
#include "worker/engine/embedding_tables.h"
#include "worker/engine/optimizer.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/testing/graph_builder.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kRows = 40;
constexpr int64_t kBatch = 6;

// Two ids an example, their rows joined, three classes. `small` is too small to be a table of its
// own, `shared` is read twice.
Graph IdGraph() {
  return GraphBuilder()
      .Input("ids", {GraphBuilder::kBatch, 2}, DType::kInt64)
      .Weight("table", Shape({kRows, 5}))
      .Weight("small", Shape({2, 5}))
      .Weight("shared", Shape({kRows, 5}))
      .Weight("w", Shape({3, 10}))
      .Node("Gather", {"table", "ids"}, {"picked"})
      .Node("Gather", {"shared", "ids"}, {"once"})
      .Node("Gather", {"shared", "ids"}, {"twice"})
      .Node("Add", {"once", "twice"}, {"sum"})
      .Node("Add", {"picked", "sum"}, {"all"})
      .Node("Flatten", {"all"}, {"flat"})
      .Node("Gemm", {"flat", "w"}, {"y"}, {Int("transB", 1)})
      .Output("y")
      .Build();
}

TEST(FindEmbeddingTables, AreLargeMatricesThatOneGatherReads) {
  ASSERT_OK_AND_ASSIGN(const auto tables, FindEmbeddingTables(IdGraph(), /*smallest=*/20));
  EXPECT_THAT(tables, ElementsAre("table"));
  ASSERT_OK_AND_ASSIGN(const auto none, FindEmbeddingTables(IdGraph(), /*smallest=*/1000));
  EXPECT_THAT(none, testing::IsEmpty());
}

// One training, of which the table is updated whole or by rows.
class Trainer {
 public:
  Trainer(Backend* backend, const OptimizerOptions& options, bool by_rows) {
    store_ = by_rows ? ParameterStore::CreateWithTables(IdGraph(), {"table"}, backend).value()
                     : ParameterStore::Create(IdGraph(), backend).value();
    ProgramOptions program;
    program.batch = kBatch;
    program.loss = LossKind::kSoftmaxCrossEntropy;
    program_ = Program::Build(IdGraph(), store_.get(), backend, program).value();
    optimizer_ = Optimizer::Create(options, store_.get()).value();
  }

  // Some rows are read often, some seldom, some never; some ids name none, or count from the end.
  void Step(int64_t step) {
    Random random(1, kStreamTest, static_cast<uint64_t>(step));
    auto* ids = static_cast<int64_t*>(program_->inputs()[0].data);
    for (int64_t i = 0; i < kBatch * 2; ++i) {
      const uint64_t kind = random.Below(20);
      ids[i] = kind == 0   ? kRows + 3
               : kind == 1 ? -static_cast<int64_t>(random.Below(4)) - 1
               : kind < 15 ? static_cast<int64_t>(random.Below(5))
                           : static_cast<int64_t>(random.Below(kRows - 6));
    }
    auto* labels = static_cast<int32_t*>(program_->labels().data);
    for (int64_t i = 0; i < kBatch; ++i) labels[i] = static_cast<int32_t>(random.Below(3));
    program_->ForwardBackward();
    optimizer_->Step(0.01F * (1 + std::sin(0.1F * static_cast<float>(step))));
  }

  std::vector<float> Values(const std::string& name) const {
    const Parameter* parameter = store_->Find(name);
    return {parameter->value, parameter->value + parameter->size};
  }
  float loss() const { return program_->loss(); }
  ParameterStore* store() { return store_.get(); }
  Optimizer* optimizer() { return optimizer_.get(); }

 private:
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<Optimizer> optimizer_;
};

using Case = std::tuple<bool, float, bool>;  // On the CPU backend, momentum, Nesterov's.

class RowsOfTables : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto [cpu, momentum, nesterov] = GetParam();
    if (cpu) {
      CpuBackendOptions options;
      options.threads = 2;
      ASSERT_OK_AND_ASSIGN(backend_, CpuBackend::Create(options));
    } else {
      backend_ = std::make_unique<ReferenceBackend>();
    }
    options_.momentum = momentum;
    options_.nesterov = nesterov;
  }

  OptimizerOptions options_;
  std::unique_ptr<Backend> backend_;
};

TEST_P(RowsOfTables, TrainAsTablesThatAreUpdatedWhole) {
  Trainer whole(backend_.get(), options_, false), rows(backend_.get(), options_, true);
  EXPECT_EQ(rows.store()->Find("table")->gradient, nullptr);
  // Beyond what is remembered of updates.
  for (int64_t step = 0; step < 1100; ++step) {
    whole.Step(step);
    rows.Step(step);
    ASSERT_NEAR(rows.loss(), whole.loss(), 1e-3) << step;
    if (step % 300 != 299) continue;
    rows.optimizer()->SettleRows();
    for (const char* name : {"table", "shared", "w"}) {
      const std::vector<float> expected = whole.Values(name), found = rows.Values(name);
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(found[i], expected[i], 2e-3 * (1 + std::fabs(expected[i])))
            << name << "[" << i << "] after step " << step;
      }
    }
  }
}

TEST_P(RowsOfTables, GoOnFromASavedStateWithTheSameBits) {
  Trainer straight(backend_.get(), options_, true), resumed(backend_.get(), options_, true);
  for (int64_t step = 0; step < 40; ++step) straight.Step(step);
  // What a checkpoint holds: values as they lie, lagging behind or not.
  for (const Parameter& parameter : straight.store()->parameters()) {
    std::copy_n(parameter.value, parameter.size, resumed.store()->Find(parameter.name)->value);
  }
  resumed.store()->MarkChanged();
  ASSERT_OK(resumed.optimizer()->Load(straight.optimizer()->Save()));
  for (int64_t step = 40; step < 80; ++step) {
    straight.Step(step);
    resumed.Step(step);
    ASSERT_EQ(resumed.loss(), straight.loss()) << step;
  }
  straight.optimizer()->SettleRows();
  resumed.optimizer()->SettleRows();
  EXPECT_EQ(resumed.Values("table"), straight.Values("table"));
}

TEST_P(RowsOfTables, AResetForgetsMomentumButNotWhatItHasDone) {
  Trainer whole(backend_.get(), options_, false), rows(backend_.get(), options_, true);
  for (Trainer* trainer : {&whole, &rows}) {
    for (int64_t step = 0; step < 30; ++step) trainer->Step(step);
    trainer->optimizer()->Reset();
    for (int64_t step = 30; step < 60; ++step) trainer->Step(step);
    trainer->optimizer()->SettleRows();
  }
  const std::vector<float> expected = whole.Values("table"), found = rows.Values("table");
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-4) << i;
}

TEST_P(RowsOfTables, RefuseAStateThatIsNotTheirs) {
  Trainer rows(backend_.get(), options_, true);
  rows.Step(0);
  const OptimizerState good = rows.optimizer()->Save();
  OptimizerState bad = good;
  bad.missed_updates["table"].pop_back();
  EXPECT_THAT(rows.optimizer()->Load(bad),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'table'")));
  bad = good;
  bad.missed_updates["table"][3] = 2;
  EXPECT_THAT(rows.optimizer()->Load(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad.missed_updates["table"][3] = -1;
  EXPECT_THAT(rows.optimizer()->Load(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  bad = good;
  bad.missed_updates.clear();
  EXPECT_THAT(rows.optimizer()->Load(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(rows.optimizer()->Load(good));
}

INSTANTIATE_TEST_SUITE_P(Optimizers, RowsOfTables,
                         testing::Values(Case{false, 0.0F, false}, Case{false, 0.9F, false},
                                         Case{false, 0.9F, true}, Case{true, 0.0F, false},
                                         Case{true, 0.9F, false}, Case{true, 0.9F, true}));

// Not what updating the whole table would do.
TEST(RowsOfTables, AreRefusedByOptimizersThatTheyCannotCatchUpWith) {
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(const auto store,
                       ParameterStore::CreateWithTables(IdGraph(), {"table"}, &backend));
  OptimizerOptions adam;
  adam.kind = OptimizerKind::kAdam;
  OptimizerOptions decaying;
  decaying.weight_decay = 0.1F;
  for (const OptimizerOptions& options : {adam, decaying}) {
    EXPECT_THAT(Optimizer::Create(options, store.get()).status(),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'table'")));
  }
}

}  // namespace
}  // namespace topiary
