// What every backend must do: agree with the reference backend on each operation, over
// shapes, parameters, layouts and aliasing. A backend's test file adds
//
//   std::unique_ptr<Backend> NewMine() { ... }
//   INSTANTIATE_TEST_SUITE_P(Mine, BackendConformance,
//                            testing::ValuesIn(ConformanceTests(NewMine)), ConformanceTestName);
//
// Tests only.
#ifndef TOPIARY_WORKER_KERNELS_BACKEND_CONFORMANCE_H_
#define TOPIARY_WORKER_KERNELS_BACKEND_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "worker/kernels/backend.h"
#include "worker/kernels/conformance/conformance_case.h"
#include "worker/kernels/conformance/conformance_runner.h"

namespace topiary {

using BackendFactory = std::function<std::unique_ptr<Backend>()>;

struct ConformanceTest {
  BackendFactory new_backend;
  ConformanceCase test_case;
  friend std::ostream& operator<<(std::ostream& out, const ConformanceTest& test) {
    return out << test.test_case.name;
  }
};

inline std::vector<ConformanceTest> ConformanceTests(const BackendFactory& new_backend) {
  std::vector<ConformanceTest> tests;
  for (ConformanceCase& test_case : AllConformanceCases()) {
    tests.push_back({new_backend, std::move(test_case)});
  }
  return tests;
}

inline std::string ConformanceTestName(const testing::TestParamInfo<ConformanceTest>& info) {
  return info.param.test_case.name;
}

class BackendConformance : public testing::TestWithParam<ConformanceTest> {};

// In plain layouts, in those that the backend likes best, in those of a neighbouring convolution,
// and with results in the memory of operands; and twice the same bits.
TEST_P(BackendConformance, AgreesWithTheReference) {
  const std::unique_ptr<Backend> backend = GetParam().new_backend();
  CheckConformance(backend.get(), GetParam().test_case);
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BACKEND_CONFORMANCE_H_
