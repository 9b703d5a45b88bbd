#include "worker/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "common/status_matchers.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// `size` examples; feature i is {i, -i}, label i.
Dataset Numbered(int64_t size) {
  std::vector<float> features;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < size; ++i) {
    features.push_back(static_cast<float>(i));
    features.push_back(static_cast<float>(-i));
    labels.push_back(i);
  }
  Dataset dataset;
  dataset.inputs.push_back({"x", Tensor::FromVector(Shape({size, 2}), features)});
  dataset.labels = {"y", Tensor::FromVector(Shape({size}), labels)};
  return dataset;
}

std::vector<int64_t> Labels(const Batch& batch) {
  const auto span = batch.labels.span<int64_t>();
  return {span.begin(), span.end()};
}

std::vector<std::vector<int64_t>> Take(Loader& loader, int count) {
  std::vector<std::vector<int64_t>> batches;
  for (int i = 0; i < count; ++i) batches.push_back(Labels(loader.Next()));
  return batches;
}

std::unique_ptr<Loader> Make(const Dataset& dataset, const LoaderOptions& options) {
  absl::StatusOr<std::unique_ptr<Loader>> loader = Loader::Create(dataset, options);
  EXPECT_OK(loader);
  return *std::move(loader);
}

TEST(Loader, AnEpochOfTrainingSeesEachExampleAtMostOnce) {
  const Dataset dataset = Numbered(10);
  LoaderOptions options;
  options.batch_size = 3;
  const auto loader = Make(dataset, options);
  EXPECT_EQ(loader->batches_per_epoch(), 3);
  std::vector<int64_t> seen;
  for (int i = 0; i < 3; ++i) {
    const Batch& batch = loader->Next();
    EXPECT_EQ(batch.epoch, 0);
    EXPECT_EQ(batch.index, i);
    EXPECT_EQ(batch.inputs[0].shape(), Shape({3, 2}));
    for (int64_t k = 0; k < 3; ++k) {
      const int64_t label = batch.labels.data<int64_t>()[k];
      EXPECT_EQ(batch.inputs[0].data<float>()[2 * k], static_cast<float>(label));
      EXPECT_EQ(batch.inputs[0].data<float>()[2 * k + 1], static_cast<float>(-label));
      seen.push_back(label);
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
  EXPECT_EQ(loader->Next().epoch, 1);
}

TEST(Loader, EvaluationKeepsOrderAndRemainder) {
  const Dataset dataset = Numbered(5);
  LoaderOptions options;
  options.batch_size = 2;
  options.shuffle = false;
  options.drop_remainder = false;
  const auto loader = Make(dataset, options);
  EXPECT_EQ(loader->batches_per_epoch(), 3);
  EXPECT_THAT(Take(*loader, 4),
              ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3), ElementsAre(4), ElementsAre(0, 1)));
}

TEST(Loader, TheOrderDependsOnSeedAndEpochAlone) {
  const Dataset dataset = Numbered(64);
  LoaderOptions options;
  options.batch_size = 64;
  options.seed = 3;
  const auto first = Take(*Make(dataset, options), 3);
  EXPECT_NE(first[0], first[1]);
  options.prefetch = 7;
  EXPECT_EQ(Take(*Make(dataset, options), 3), first);
  options.batch_size = 16;
  const auto quarters = Take(*Make(dataset, options), 4);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(quarters[i / 16][i % 16], first[0][i]);
  options.seed = 4;
  EXPECT_NE(Take(*Make(dataset, options), 1)[0], quarters[0]);
}

TEST(Loader, SeekingGivesWhatAnUndisturbedRunWouldSee) {
  const Dataset dataset = Numbered(20);
  LoaderOptions options;
  options.batch_size = 6;
  const auto undisturbed = Take(*Make(dataset, options), 12);
  for (int64_t at : {0, 1, 2, 3, 7, 11}) {
    const auto loader = Make(dataset, options);
    loader->Seek(at / 3, at % 3);
    const Batch& batch = loader->Next();
    EXPECT_EQ(batch.epoch, at / 3);
    EXPECT_EQ(Labels(batch), undisturbed[at]) << at;
  }
}

TEST(Loader, SeekingInTheMiddleForgetsWhatWasPrefetched) {
  const Dataset dataset = Numbered(20);
  LoaderOptions options;
  options.batch_size = 5;
  options.prefetch = 4;
  const auto undisturbed = Take(*Make(dataset, options), 8);
  const auto loader = Make(dataset, options);
  for (int round = 0; round < 50; ++round) {
    Take(*loader, round % 3);
    loader->Seek(1, round % 4);
    EXPECT_EQ(Labels(loader->Next()), undisturbed[4 + round % 4]);
  }
}

TEST(Loader, MayBeDestroyedAtAnyMoment) {
  const Dataset dataset = Numbered(100);
  LoaderOptions options;
  options.batch_size = 1;
  for (int taken = 0; taken < 20; ++taken) Take(*Make(dataset, options), taken);
}

TEST(Loader, PredictionNeedsNoLabels) {
  Dataset dataset = Numbered(4);
  dataset.labels = DataArray();
  LoaderOptions options;
  options.batch_size = 2;
  EXPECT_EQ(Make(dataset, options)->Next().labels.shape(), Shape({0}));
}

TEST(Loader, OptionsThatGiveNoBatchesAreRefused) {
  const Dataset dataset = Numbered(3);
  LoaderOptions options;
  options.batch_size = 4;
  EXPECT_THAT(Loader::Create(dataset, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("use a smaller batch")));
  options.drop_remainder = false;
  EXPECT_OK(Loader::Create(dataset, options));
  options.batch_size = 0;
  EXPECT_THAT(Loader::Create(dataset, options), StatusIs(absl::StatusCode::kInvalidArgument));
  options.batch_size = 1;
  options.prefetch = 0;
  EXPECT_THAT(Loader::Create(dataset, options), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Loader::Create(Dataset(), LoaderOptions()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace topiary
