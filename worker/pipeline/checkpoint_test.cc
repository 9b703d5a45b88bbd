#include "worker/pipeline/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/model/safetensors.h"

namespace topiary {
namespace {

std::string TestPath() { return testing::TempDir() + "/checkpoint"; }

Checkpoint Sample() {
  Checkpoint checkpoint;
  checkpoint.method = "magnitude";
  checkpoint.first_of_two = true;
  checkpoint.step = 41;
  checkpoint.plan_digest = "abc";
  checkpoint.record.given_metrics = {
      {"accuracy", 0.1},
      {"auc", std::nan("")},
      {"mean_squared_error", std::numeric_limits<double>::infinity()}};
  checkpoint.record.dense_metrics = MetricValues{{"accuracy", 0.987654321987654321}};
  checkpoint.record.history.push_back({10, 0.5, 1.0 / 3, 0.25, {{"log_loss", 1e-300}}});
  checkpoint.record.plan.emplace().sensitivity.emplace().curves["fc1.weight"] = {
      {3, std::numeric_limits<double>::infinity()}};
  checkpoint.record.loss_sum = 0.1 + 0.2;
  checkpoint.record.loss_steps = 3;
  checkpoint.record.samples = int64_t{1} << 40;
  checkpoint.record.bit_exact = false;
  checkpoint.training.emplace("weights/fc1.weight",
                              Tensor::FromVector<float>(Shape({3}), {1.5F, -0.0F, 1e-40F}));
  checkpoint.training.emplace("method/support/fc1.weight",
                              Tensor::FromVector<uint8_t>(Shape({2}), {1, 0}));
  checkpoint.training.emplace("steps", Tensor::FromVector<int64_t>(Shape({2}), {41, 7}));
  return checkpoint;
}

TEST(Checkpoint, ComesBackBitForBit) {
  ASSERT_OK(WriteCheckpoint(Sample(), TestPath()));
  ASSERT_OK_AND_ASSIGN(const Checkpoint read, ReadCheckpoint(TestPath()));
  const Checkpoint sample = Sample();
  EXPECT_EQ(read.method, "magnitude");
  EXPECT_TRUE(read.first_of_two);
  EXPECT_EQ(read.step, 41);
  EXPECT_EQ(read.plan_digest, "abc");
  EXPECT_EQ(read.record.dense_metrics, sample.record.dense_metrics);
  EXPECT_EQ(read.record.given_metrics.at("accuracy"), 0.1);
  EXPECT_TRUE(std::isnan(read.record.given_metrics.at("auc")));
  EXPECT_EQ(read.record.given_metrics.at("mean_squared_error"),
            std::numeric_limits<double>::infinity());
  EXPECT_EQ(read.record.plan->sensitivity->curves.at("fc1.weight")[0].loss,
            std::numeric_limits<double>::infinity());
  EXPECT_EQ(read.record.history[0].loss, sample.record.history[0].loss);
  EXPECT_EQ(read.record.history[0].metrics, sample.record.history[0].metrics);
  EXPECT_EQ(read.record.loss_sum, sample.record.loss_sum);
  EXPECT_EQ(read.record.samples, sample.record.samples);
  EXPECT_FALSE(read.record.bit_exact);
  ASSERT_EQ(read.training.size(), sample.training.size());
  for (const auto& [name, tensor] : sample.training) {
    EXPECT_TRUE(BitwiseEqual(read.training.at(name), tensor)) << name;
  }
}

struct Damage {
  const char* name;
  std::function<void(SafetensorsFile*)> change;
};

class DamagedCheckpoint : public testing::TestWithParam<Damage> {};

TEST_P(DamagedCheckpoint, IsRefused) {
  ASSERT_OK(WriteCheckpoint(Sample(), TestPath()));
  ASSERT_OK_AND_ASSIGN(SafetensorsFile file, ReadSafetensors(TestPath()));
  GetParam().change(&file);
  ASSERT_OK(WriteSafetensors(file, TestPath()));
  EXPECT_THAT(ReadCheckpoint(TestPath()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("no checkpoint")));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DamagedCheckpoint,
    testing::Values(Damage{"OtherFormat", [](auto* f) { f->metadata["format"] = "pt"; }},
                    Damage{"OtherVersion", [](auto* f) { f->metadata["format_version"] = "9"; }},
                    Damage{"NoMetadata", [](auto* f) { f->metadata.clear(); }},
                    Damage{"NoJson", [](auto* f) { f->metadata["topiary.checkpoint"] = "{"; }},
                    Damage{"JsonOfAnotherShape",
                           [](auto* f) { f->metadata["topiary.checkpoint"] = "[1, 2]"; }},
                    Damage{"NegativeStep",
                           [](auto* f) {
                             f->metadata["topiary.checkpoint"] =
                                 R"({"method": "dense", "first_of_two": false, "step": -3,
                                     "plan_digest": ""})";
                           }}),
    [](const testing::TestParamInfo<Damage>& info) { return info.param.name; });

TEST(Checkpoint, ATruncatedFileIsRefused) {
  ASSERT_OK(WriteCheckpoint(Sample(), TestPath()));
  const std::string bytes = ReadFile(TestPath()).value();
  ASSERT_OK(WriteFileAtomically(TestPath(), bytes.substr(0, bytes.size() - 5)));
  EXPECT_THAT(ReadCheckpoint(TestPath()).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace topiary
