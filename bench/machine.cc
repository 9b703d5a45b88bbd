#include "bench/machine.h"

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "bench/measure.h"
#include "bench/planned_kernel.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr int kTries = 8;

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const size_t colon = line.find(": ");
    if (absl::StartsWith(line, "model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "processor unknown";
}

// Seconds of one run of `op`, the best of several, with operands of ones.
absl::StatusOr<double> BestSeconds(Backend* backend, const OpDescription& op) {
  ASSIGN_OR_RETURN(PlannedKernel kernel, PlannedKernel::Create(backend, op));
  kernel.Run();
  double best = SecondsPerStep(1, [&] { kernel.Run(); });
  for (int i = 1; i < kTries; ++i) {
    best = std::min(best, SecondsPerStep(1, [&] { kernel.Run(); }));
  }
  return best;
}

TensorDescription Plain(const Shape& shape) { return {shape, DType::kFloat32, Layout::Plain()}; }

}  // namespace

std::string DescribeMachine(const BackendInfo& info) {
  return absl::StrCat(ProcessorName(), ", ", info.isa, ", ", info.threads, " threads");
}

absl::StatusOr<double> PeakGflops(Backend* backend) {
  constexpr int64_t kN = 1024;
  const TensorDescription matrix = Plain({kN, kN});
  ASSIGN_OR_RETURN(
      const double seconds,
      BestSeconds(backend, {OpKind::kMatMul, MatMulParameters(), {matrix, matrix, matrix}}));
  return 2.0 * kN * kN * kN / seconds * 1e-9;
}

absl::StatusOr<double> PeakGbytesPerSecond(Backend* backend) {
  const TensorDescription tensor = Plain({int64_t{32} << 20});  // 128 MiB, twice.
  ASSIGN_OR_RETURN(
      const double seconds,
      BestSeconds(backend, {OpKind::kUnaryForward, UnaryParameters(), {tensor, tensor}}));
  return 2 * static_cast<double>(tensor.bytes()) / seconds * 1e-9;
}

}  // namespace topiary
