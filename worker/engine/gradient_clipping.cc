#include "worker/engine/gradient_clipping.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "common/status_macros.h"

namespace topiary {

float ClipFactor(double norm, double max_norm) {
  if (!std::isfinite(norm)) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6)));
}

absl::StatusOr<std::unique_ptr<GradientNorm>> GradientNorm::Create(ParameterStore* store) {
  std::unique_ptr<GradientNorm> norm(new GradientNorm());
  const absl::Span<float> gradients = store->trainable_gradients();
  const TensorDescription src{Shape({static_cast<int64_t>(gradients.size())}), DType::kFloat32,
                              Layout::Plain()};
  const TensorDescription dst{Shape({1}), DType::kFloat32, Layout::Plain()};
  ASSIGN_OR_RETURN(norm->kernel_,
                   store->backend()->Plan({OpKind::kSumOfSquares, OpParameters(), {src, dst}}));
  ASSIGN_OR_RETURN(norm->sum_, store->backend()->Allocate(sizeof(float)));
  ASSIGN_OR_RETURN(norm->scratch_, store->backend()->Allocate(norm->kernel_->scratch_bytes()));
  norm->kernel_->Bind({gradients.data(), norm->sum_.data()}, norm->scratch_.data());
  store->Freeze();
  return norm;
}

double GradientNorm::Compute() {
  kernel_->Run();
  return std::sqrt(static_cast<double>(*static_cast<const float*>(sum_.data())));
}

}  // namespace topiary
