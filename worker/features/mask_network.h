#ifndef TOPIARY_WORKER_FEATURES_MASK_NETWORK_H_
#define TOPIARY_WORKER_FEATURES_MASK_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "worker/prune/method.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// Two layers with LeakyReLU and a linear one, whose outputs are averaged over a batch. Weights are
// stored [out][in]; sums are taken in the order of examples and inputs.
// One thread at a time.
class MaskNetwork {
 public:
  static constexpr int64_t kFirst = 128;
  static constexpr int64_t kSecond = 64;
  static constexpr float kSlope = 0.2F;

  // Weights uniform in [-a, a], a = sqrt(6 / (in + out)), drawn by the seed; biases 0.
  MaskNetwork(int64_t inputs, int64_t outputs, uint64_t seed);

  // The mean of the outputs over `examples`, [batch, inputs], which Backward() goes through.
  const std::vector<double>& Forward(absl::Span<const float> examples);

  // From d loss / d mean outputs the gradients of all weights. `examples` are those of Forward().
  void Backward(absl::Span<const double> outputs, absl::Span<const float> examples);

  // "mask_network/weight1", "mask_network/bias1", ...
  std::vector<TrainableState> trainable_state(double learning_rate_multiplier);
  void Save(MethodState* state) const;
  // INVALID_ARGUMENT, naming the entry; nothing is changed then.
  absl::Status Load(const MethodState& state);

 private:
  struct Layer {
    int64_t inputs;
    int64_t outputs;
    Tensor weight, bias, d_weight, d_bias;
    std::vector<float> result;  // [batch, outputs], after LeakyReLU; not of the last layer.
  };
  static std::string NameOf(const char* part, size_t layer);

  std::vector<Layer> layers_;
  int64_t batch_ = 0;
  std::vector<double> mean_hidden_;  // Of the second layer's result over the batch.
  std::vector<double> outputs_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_MASK_NETWORK_H_
