// Layers with inputs for tests of the methods that prune by calibration.
#ifndef TOPIARY_WORKER_PRUNE_CALIBRATION_TEST_UTIL_H_
#define TOPIARY_WORKER_PRUNE_CALIBRATION_TEST_UTIL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/random.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/prune/calibrated_layer.h"
#include "worker/prune/method_test_util.h"

namespace topiary {

// The mean of x x^T over `samples` rows of `inputs` numbers that have much in common: each is noise
// of its own and that of its neighbours, and the later ones are larger.
inline std::vector<double> CorrelatedMoments(int64_t inputs, int64_t samples, uint64_t seed) {
  std::vector<double> moments(inputs * inputs, 0);
  for (int64_t s = 0; s < samples; ++s) {
    Random random(seed, kStreamTest, static_cast<uint64_t>(s));
    std::vector<double> x(inputs);
    double common = 0;
    for (int64_t i = 0; i < inputs; ++i) {
      const double noise = random.Normal();
      common = 0.8 * common + noise;
      x[i] = (common + 0.3 * random.Normal()) *
             (1 + 2.0 * static_cast<double>(i) / static_cast<double>(inputs));
    }
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t j = 0; j < inputs; ++j) {
        moments[i * inputs + j] += x[i] * x[j] / static_cast<double>(samples);
      }
    }
  }
  return moments;
}

// A Linear of `inputs` x `outputs`, stored [outputs][inputs], cut in `block`, with random weights
// and correlated inputs.
class TestLayer {
 public:
  TestLayer(int64_t inputs, int64_t outputs, BlockShape block, double sparsity)
      : weights(RandomVector(inputs * outputs, 5)),
        given(weights),
        moments(CorrelatedMoments(inputs, 4 * inputs, 7)) {
    layer.partition = LinearLayer("fc", inputs, outputs, block).partition;
    layer.sparsity = sparsity;
    layer.moments = [this](int64_t) { return moments; };
    layer.weight = absl::MakeSpan(weights);
    layer.backend = &backend_;
  }

  // The mean over samples of the squared change of the outputs: the trace of D^T M D.
  double Error() const {
    const int64_t inputs = layer.layer().rows;
    double error = 0;
    for (int64_t output = 0; output < layer.layer().cols; ++output) {
      for (int64_t i = 0; i < inputs; ++i) {
        for (int64_t j = 0; j < inputs; ++j) {
          const double di = double{weights[output * inputs + i]} - given[output * inputs + i];
          const double dj = double{weights[output * inputs + j]} - given[output * inputs + j];
          error += di * moments[i * inputs + j] * dj;
        }
      }
    }
    return error;
  }

  std::vector<float> weights;  // [outputs][inputs].
  const std::vector<float> given;
  std::vector<double> moments;
  CalibratedLayer layer;

 private:
  ReferenceBackend backend_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CALIBRATION_TEST_UTIL_H_
