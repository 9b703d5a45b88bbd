#include "worker/engine/layer_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/kernels/reference/reference_backend.h"

namespace topiary {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

absl::Status GoOn() { return absl::OkStatus(); }

std::string NewFolder() {
  static int number = 0;
  std::string path = absl::StrCat(testing::TempDir(), "/layer_cost", ++number);
  std::filesystem::remove_all(path);
  return path;
}

LayerWork Product(int64_t rows, int64_t inputs, int64_t outputs, bool transposed, LayerUse use) {
  LayerWork work;
  work.use = use;
  work.kind = LayerKind::kGemm;
  work.rows = inputs;
  work.cols = outputs;
  work.block_rows = work.block_cols = 8;
  work.transposed = transposed;
  work.src = Shape({rows, inputs});
  work.weights = transposed ? Shape({outputs, inputs}) : Shape({inputs, outputs});
  work.dst = Shape({rows, outputs});
  return work;
}

LayerWork GroupedConvolution(LayerUse use) {
  LayerWork work;
  work.use = use;
  work.kind = LayerKind::kConv;
  work.rows = 9 * 8;
  work.cols = 8;
  work.groups = 2;
  work.block_rows = work.block_cols = 8;
  work.transposed = true;
  work.convolution = {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 2};
  work.src = Shape({2, 16, 10, 10});
  work.weights = Shape({16, 8, 3, 3});
  work.dst = Shape({2, 16, 10, 10});
  return work;
}

// ---- What costs say -----------------------------------------------------------------------------

TEST(LayerCost, LiesOnStraightLinesBetweenWhatWasMeasured) {
  const LayerCost cost = {8, {{0.1, 2}, {0.5, 6}, {1, 14}}};
  EXPECT_DOUBLE_EQ(cost.SparseSeconds(0.1), 2);
  EXPECT_DOUBLE_EQ(cost.SparseSeconds(0.3), 4);
  EXPECT_DOUBLE_EQ(cost.SparseSeconds(0.75), 10);
  EXPECT_DOUBLE_EQ(cost.SparseSeconds(0.05), 1.5);
  EXPECT_DOUBLE_EQ(cost.Seconds(0.75), 8) << "the dense product is faster";
  EXPECT_DOUBLE_EQ(cost.Seconds(0.3), 4);
  const LayerCost steep = {8, {{0.1, 0.1}, {0.5, 6}}};
  EXPECT_EQ(steep.SparseSeconds(0), 0) << "never less than nothing";
}

TEST(LayerCost, BreaksEvenWhereTheLinesCross) {
  // 8 seconds at a density of 0.625.
  EXPECT_NEAR((LayerCost{8, {{0.1, 2}, {0.5, 6}, {1, 14}}}.BreakEvenDensity()), 0.6, 1e-9);
  EXPECT_EQ((LayerCost{8, {{0.05, 8}, {1, 9}}}.BreakEvenDensity()), 0) << "never";
  EXPECT_EQ((LayerCost{8, {{0.05, 1}, {1, 2}}}.BreakEvenDensity()), 1) << "always";
  EXPECT_EQ((LayerCost{8, {}}.BreakEvenDensity()), 0) << "there is no such kernel";
  EXPECT_TRUE(std::isinf((LayerCost{8, {}}.SparseSeconds(0.1))));
  // Slower in between: what is beyond that does not count.
  EXPECT_NEAR((LayerCost{8, {{0.1, 2}, {0.5, 9}, {1, 7}}}.BreakEvenDensity()), 0.4, 1e-9);
}

// ---- What is measured ---------------------------------------------------------------------------

TEST(LayerWork, HasAKeyOfItsOwn) {
  std::vector<LayerWork> all = {Product(4, 16, 24, false, LayerUse::kInference),
                                Product(4, 16, 24, true, LayerUse::kInference),
                                Product(4, 16, 24, false, LayerUse::kTraining),
                                Product(5, 16, 24, false, LayerUse::kInference),
                                Product(4, 24, 16, false, LayerUse::kInference),
                                GroupedConvolution(LayerUse::kInference)};
  for (int change = 0; change < 4; ++change) {
    LayerWork work = GroupedConvolution(LayerUse::kInference);
    if (change == 0) work.convolution.strides = {2, 1};
    if (change == 1) work.convolution.dilations = {2, 1};
    if (change == 2) work.convolution.pads_begin = {0, 1};
    if (change == 3) work.block_rows = 4;
    all.push_back(work);
  }
  std::set<std::string> keys;
  for (const LayerWork& work : all) keys.insert(work.Key());
  EXPECT_EQ(keys.size(), all.size());
}

class MeasuredWork : public testing::TestWithParam<LayerWork> {};

TEST_P(MeasuredWork, CostsSomethingAtEachDensity) {
  CpuBackendOptions options;
  options.threads = 2;
  ASSERT_OK_AND_ASSIGN(const auto backend, CpuBackend::Create(options));
  ASSERT_OK_AND_ASSIGN(const LayerCost cost, MeasureLayerCost(GetParam(), backend.get(), GoOn));
  EXPECT_GT(cost.dense_seconds, 0);
  ASSERT_GE(cost.sparse.size(), 2u);
  EXPECT_EQ(cost.sparse.back().density, 1);
  double before = 0;
  for (const LayerCost::Point& point : cost.sparse) {
    EXPECT_GT(point.density, before);
    EXPECT_GT(point.seconds, 0);
    before = point.density;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MeasuredWork,
                         testing::Values(Product(7, 40, 24, false, LayerUse::kInference),
                                         Product(7, 40, 24, true, LayerUse::kInference),
                                         Product(7, 40, 24, false, LayerUse::kTraining),
                                         Product(7, 40, 24, true, LayerUse::kTraining),
                                         GroupedConvolution(LayerUse::kInference),
                                         GroupedConvolution(LayerUse::kTraining)));

TEST(MeasureLayerCost, TakesOnePointWhereThereIsOneBlock) {
  ReferenceBackend backend;
  ASSERT_OK_AND_ASSIGN(
      const LayerCost cost,
      MeasureLayerCost(Product(3, 8, 8, true, LayerUse::kTraining), &backend, GoOn));
  ASSERT_THAT(cost.sparse, SizeIs(1));
  EXPECT_EQ(cost.sparse[0].density, 1);
}

TEST(MeasureLayerCost, EndsWhenItIsToldTo) {
  ReferenceBackend backend;
  const auto stop = [] { return absl::CancelledError("stop"); };
  EXPECT_THAT(MeasureLayerCost(Product(3, 8, 8, true, LayerUse::kTraining), &backend, stop),
              StatusIs(absl::StatusCode::kCancelled));
}

// ---- What is kept -------------------------------------------------------------------------------

class CountingBackend : public ReferenceBackend {
 public:
  absl::StatusOr<std::unique_ptr<Kernel>> Plan(const OpDescription& op) override {
    ++plans_;
    return ReferenceBackend::Plan(op);
  }
  int plans() const { return plans_; }

 private:
  int plans_ = 0;
};

class KeptCosts : public testing::Test {
 protected:
  absl::StatusOr<std::vector<LayerCost>> CostsFrom(const std::string& folder,
                                                   const std::vector<LayerWork>& work) {
    return NewMeasuredLayerCosts(folder)->Costs(work, &backend_, GoOn);
  }
  // The one table of `folder`.
  static std::string TableIn(const std::string& folder) {
    std::vector<std::string> tables;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      if (file.path().extension() == ".json") tables.push_back(file.path().string());
    }
    EXPECT_THAT(tables, SizeIs(1));
    return tables.empty() ? "" : tables[0];
  }
  static std::vector<double> Numbers(const std::vector<LayerCost>& costs) {
    std::vector<double> numbers;
    for (const LayerCost& cost : costs) {
      numbers.push_back(cost.dense_seconds);
      for (const LayerCost::Point& point : cost.sparse) {
        numbers.push_back(point.density);
        numbers.push_back(point.seconds);
      }
    }
    return numbers;
  }

  ReferenceBackend backend_;
  const std::string folder_ = NewFolder();
  const LayerWork one_ = Product(3, 64, 64, false, LayerUse::kInference);
  const LayerWork other_ = Product(4, 16, 16, false, LayerUse::kInference);
};

TEST_F(KeptCosts, AreMeasuredOnceForAllWhoShareAFolder) {
  ASSERT_OK_AND_ASSIGN(const auto first, CostsFrom(folder_, {one_}));
  ASSERT_OK_AND_ASSIGN(const auto both, CostsFrom(folder_, {other_, one_}));
  EXPECT_EQ(Numbers({both[1]}), Numbers(first));
  ASSERT_OK_AND_ASSIGN(const auto again, CostsFrom(folder_, {other_, one_}));
  EXPECT_EQ(Numbers(again), Numbers(both));
}

TEST_F(KeptCosts, AreTheSameForThoseWhoAskAtTheSameTime) {
  std::vector<LayerCost> costs[4];
  std::vector<std::thread> askers;
  for (std::vector<LayerCost>& mine : costs) {
    askers.emplace_back([&] {
      ReferenceBackend backend;
      mine = NewMeasuredLayerCosts(folder_)->Costs({one_, other_}, &backend, GoOn).value();
    });
  }
  for (std::thread& asker : askers) asker.join();
  for (const std::vector<LayerCost>& mine : costs) EXPECT_EQ(Numbers(mine), Numbers(costs[0]));
}

TEST_F(KeptCosts, AreOfOnePrecision) {
  class Bfloat16Backend : public CountingBackend {
   public:
    BackendInfo info() const override {
      BackendInfo info = CountingBackend::info();
      info.precision = Precision::kBfloat16;
      return info;
    }
  };
  ASSERT_OK(CostsFrom(folder_, {one_}).status());
  ASSERT_OK_AND_ASSIGN(const std::string table, ReadFile(TableIn(folder_)));
  EXPECT_THAT(table, testing::HasSubstr("precision float32"));
  const std::unique_ptr<LayerCostSource> costs = NewMeasuredLayerCosts(folder_);
  Bfloat16Backend backend;
  ASSERT_OK(costs->Costs({one_}, &backend, GoOn).status());
  const int plans = backend.plans();
  EXPECT_GT(plans, 0) << "those of float32 were taken for its own";
  ASSERT_OK(NewMeasuredLayerCosts(folder_)->Costs({one_}, &backend, GoOn).status());
  EXPECT_EQ(backend.plans(), plans) << "they are kept beside the others";
}

TEST_F(KeptCosts, ADamagedTableIsWrittenAnew) {
  ASSERT_OK(CostsFrom(folder_, {one_}).status());
  const std::string path = TableIn(folder_);
  ASSERT_OK_AND_ASSIGN(const std::string good, ReadFile(path));
  std::vector<std::string> bad = {"", "{", "[]", "{\"format\": 3}",
                                  good.substr(0, good.size() / 2)};
  for (const char* part : {"\"dense_seconds\": ", "\"density\": ", "\"seconds\": "}) {
    std::string broken = good;
    broken.insert(broken.find(part) + std::string(part).size(), "-");
    bad.push_back(broken);
  }
  for (const std::string& text : bad) {
    ASSERT_OK(WriteFileAtomically(path, text));
    ASSERT_OK_AND_ASSIGN(const auto costs, CostsFrom(folder_, {one_}));
    EXPECT_GT(costs[0].dense_seconds, 0) << text;
    EXPECT_THAT(costs[0].sparse, testing::Not(IsEmpty())) << text;
    ASSERT_OK_AND_ASSIGN(const auto again, CostsFrom(folder_, {one_}));
    EXPECT_EQ(Numbers(again), Numbers(costs)) << text;
  }
}

TEST_F(KeptCosts, AreMeasuredAllTheSameWhereTheyCannotBeKept) {
  const std::string file = NewFolder();
  ASSERT_OK(WriteFileAtomically(file, "not a folder"));
  ASSERT_OK_AND_ASSIGN(const auto costs, CostsFrom(file + "/costs", {one_}));
  EXPECT_GT(costs[0].dense_seconds, 0);
  ASSERT_OK_AND_ASSIGN(const auto unkept, CostsFrom("", {one_, one_}));
  EXPECT_EQ(Numbers({unkept[0]}), Numbers({unkept[1]}));
}

TEST_F(KeptCosts, WhatWasMeasuredBeforeAStopIsKept) {
  CountingBackend backend;
  // Five kernels do the one product of the first: dense, and at four densities.
  const auto stop = [&] {
    return backend.plans() <= 5 ? absl::OkStatus() : absl::CancelledError("stop");
  };
  const LayerWork slow = Product(64, 128, 128, false, LayerUse::kTraining);
  EXPECT_THAT(NewMeasuredLayerCosts(folder_)->Costs({one_, slow}, &backend, stop),
              StatusIs(absl::StatusCode::kCancelled));
  ASSERT_OK_AND_ASSIGN(const std::string table, ReadFile(TableIn(folder_)));
  EXPECT_THAT(table, testing::HasSubstr(one_.Key()));
  EXPECT_THAT(table, testing::Not(testing::HasSubstr(slow.Key())));
}

}  // namespace
}  // namespace topiary
