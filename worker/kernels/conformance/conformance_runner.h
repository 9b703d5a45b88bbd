// Runs one conformance case on one backend. Tests only.
#ifndef TOPIARY_WORKER_KERNELS_CONFORMANCE_CONFORMANCE_RUNNER_H_
#define TOPIARY_WORKER_KERNELS_CONFORMANCE_CONFORMANCE_RUNNER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"
#include "worker/kernels/conformance/conformance_case.h"
#include "worker/tensor/tensor.h"

namespace topiary {

enum class LayoutChoice {
  kPlain,
  kAny,            // Operands of free layout are given as any.
  kOfConvolution,  // Those of rank 3 and 4 in the layout a convolution of such a dst prefers.
};

struct ConformanceRun {
  LayoutChoice layouts = LayoutChoice::kPlain;
  bool in_place = false;  // Binds by the first pair of InPlaceOperands() per operand.
};

// Fills the operands (the same for every backend), runs the case and returns every operand in plain
// layout afterwards; those only read, and workspaces, as empty tensors. INTERNAL where a
// byte beyond an operand was written.
absl::StatusOr<std::vector<Tensor>> RunConformanceCase(Backend* backend,
                                                       const ConformanceCase& test_case,
                                                       const ConformanceRun& run);

// GoogleTest expectations: the case gives what the reference backend gives, within its tolerance,
// in every layout and in place, and the same bits again. Where the contract lets a backend refuse,
// UNIMPLEMENTED passes.
void CheckConformance(Backend* backend, const ConformanceCase& test_case);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CONFORMANCE_CONFORMANCE_RUNNER_H_
