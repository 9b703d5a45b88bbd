// Layers, weights and readers for tests of pruning methods.
#ifndef TOPIARY_WORKER_PRUNE_METHOD_TEST_UTIL_H_
#define TOPIARY_WORKER_PRUNE_METHOD_TEST_UTIL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "common/random.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/method.h"

namespace topiary {

// A layer of rows x cols stored [cols][rows], as a Linear of PyTorch is.
inline MethodLayer LinearLayer(std::string weight, int64_t rows, int64_t cols, BlockShape block) {
  PrunableLayer layer;
  layer.weight = weight;
  layer.shape = Shape({cols, rows});
  layer.rows = rows;
  layer.cols = cols;
  layer.transposed = true;
  layer.in_extent = rows;
  layer.group_stride = rows * cols;
  layer.in_stride = 1;
  layer.col_stride = rows;
  return {std::move(weight),
          std::make_shared<const BlockPartition>(BlockPartition::Create(layer, block).value())};
}

// Normal random numbers that depend on `seed` alone.
inline std::vector<float> RandomVector(int64_t size, uint64_t seed) {
  Random random(seed, 0, 0);
  std::vector<float> values(size);
  for (float& value : values) value = random.Normal();
  return values;
}

// Tensors held in memory.
class FakeWeights : public LayerTensors {
 public:
  explicit FakeWeights(std::vector<std::vector<float>> weights)
      : effective(weights), weights_(std::move(weights)) {}
  absl::Span<const float> RawWeights(int index) override {
    ++reads;
    return weights_.at(index);
  }
  absl::Span<float> MutableRawWeights(int index) override {
    return absl::MakeSpan(weights_.at(index));
  }
  absl::Span<const float> Gradients(int index) override { return gradients.at(index); }
  absl::Span<float> MutableGradients(int index) override {
    return absl::MakeSpan(gradients.at(index));
  }
  absl::Span<float> MutableEffectiveWeights(int index) override {
    return absl::MakeSpan(effective.at(index));
  }
  absl::Span<const Tensor> Inputs() override { return inputs; }

  absl::Span<const float> RawWeight(const std::string& name) override { return named.at(name); }
  absl::Span<float> MutableRawWeight(const std::string& name) override {
    return absl::MakeSpan(named.at(name));
  }

  std::vector<std::vector<float>> gradients;
  std::vector<std::vector<float>> effective;
  std::vector<Tensor> inputs;
  std::map<std::string, std::vector<float>> named;  // Of groups.
  int reads = 0;                                    // Of raw weights.

 private:
  std::vector<std::vector<float>> weights_;
};

// Stands for optimizer and network: moves each number that is trained by a fixed pseudo-random
// amount per step.
inline void MoveTrainableState(Method* method, int64_t step) {
  for (TrainableState& state : method->trainable_state()) {
    Random random(5, 6, static_cast<uint64_t>(step));
    for (int64_t i = 0; i < state.size; ++i) state.value[i] += 0.1F * random.Normal();
  }
}

inline std::vector<float> ScalesOf(const Method& method, int index) {
  const absl::Span<const float> scales = method.scales(index);
  return {scales.begin(), scales.end()};
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_METHOD_TEST_UTIL_H_
