// Jobs that prune by calibration, and networks computed by hand, for tests.
#ifndef TOPIARY_WORKER_PIPELINE_CALIBRATING_JOBS_TEST_UTIL_H_
#define TOPIARY_WORKER_PIPELINE_CALIBRATING_JOBS_TEST_UTIL_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "worker/model/graph.h"
#include "worker/pipeline/running_jobs_test_util.h"

namespace topiary {

class CalibratingJobs : public RunningJobs {
 protected:
  // Without training.
  JobSpec Job(const Graph& graph, MethodOptions method) {
    JobSpec spec = SmallJob(folder_, graph);
    spec.method = std::move(method);
    spec.task.epochs = 0;
    return spec;
  }
};

// x[example][in] times w[out][in] plus bias, and what Relu leaves of it.
inline std::vector<double> LinearAndRelu(const std::vector<double>& x, int64_t inputs,
                                         const Graph& graph, const std::string& layer) {
  const Tensor& weight = graph.FindInitializer(layer + ".weight")->value;
  const Tensor& bias = graph.FindInitializer(layer + ".bias")->value;
  const int64_t outputs = weight.shape()[0];
  std::vector<double> y;
  for (size_t example = 0; example < x.size() / inputs; ++example) {
    for (int64_t out = 0; out < outputs; ++out) {
      double sum = bias.data<float>()[out];
      for (int64_t in = 0; in < inputs; ++in) {
        sum += x[example * inputs + in] * weight.data<float>()[out * inputs + in];
      }
      y.push_back(std::max(0.0, sum));
    }
  }
  return y;
}

inline std::vector<double> MeanSquares(const std::vector<double>& x, int64_t inputs) {
  std::vector<double> squares(inputs, 0);
  for (size_t i = 0; i < x.size(); ++i) squares[i % inputs] += x[i] * x[i];
  for (double& square : squares) square /= static_cast<double>(x.size()) / inputs;
  return squares;
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_CALIBRATING_JOBS_TEST_UTIL_H_
