#include "worker/pipeline/gradient_norm.h"

#include <cmath>

#include "common/status_macros.h"

namespace topiary {
namespace {

TensorDescription Vector(int64_t size) { return {Shape({size}), DType::kFloat32, Layout::Plain()}; }

}  // namespace

absl::StatusOr<std::unique_ptr<TrainedGradientNorm>> TrainedGradientNorm::Create(
    ParameterStore* store, absl::Span<const TrainableState> state) {
  auto norm = std::unique_ptr<TrainedGradientNorm>(new TrainedGradientNorm());
  for (const Parameter& parameter : store->parameters()) {
    if (!parameter.trainable) continue;
    OpDescription op;
    if (parameter.runs != nullptr) {
      // <gradient, gradient> of each block.
      const TensorDescription gradient{parameter.shape, DType::kFloat32, Layout::Plain()};
      const int64_t blocks = parameter.runs->block_count;
      op.kind = OpKind::kBlockInnerProducts;
      op.parameters = BlockParameters{parameter.runs};
      op.operands = {gradient, gradient, Vector(blocks)};
      RETURN_IF_ERROR(
          norm->AddTerm(store->backend(), op, parameter.gradient, parameter.block_scale, blocks));
    } else {
      op.kind = OpKind::kSumOfSquares;
      op.operands = {Vector(parameter.size), Vector(1)};
      RETURN_IF_ERROR(norm->AddTerm(store->backend(), op, parameter.gradient, nullptr, 1));
    }
  }
  for (const TrainableState& s : state) {
    OpDescription op;
    op.kind = OpKind::kSumOfSquares;
    op.operands = {Vector(s.size), Vector(1)};
    RETURN_IF_ERROR(norm->AddTerm(store->backend(), op, s.gradient, nullptr, 1));
  }
  return norm;
}

absl::Status TrainedGradientNorm::AddTerm(Backend* backend, const OpDescription& op,
                                          float* gradient, const float* scales, int64_t results) {
  Term term;
  term.scales = scales;
  term.results = results;
  ASSIGN_OR_RETURN(term.kernel, backend->Plan(op));
  ASSIGN_OR_RETURN(term.result, backend->Allocate(static_cast<size_t>(results) * sizeof(float)));
  ASSIGN_OR_RETURN(Buffer scratch, backend->Allocate(term.kernel->scratch_bytes()));
  if (scales != nullptr) {
    term.kernel->Bind({gradient, gradient, term.result.data()}, scratch.data());
  } else {
    term.kernel->Bind({gradient, term.result.data()}, scratch.data());
  }
  scratch_.push_back(std::move(scratch));
  terms_.push_back(std::move(term));
  return absl::OkStatus();
}

double TrainedGradientNorm::Compute() {
  double sum = 0;
  for (const Term& term : terms_) {
    term.kernel->Run();
    const auto* squares = static_cast<const float*>(term.result.data());
    for (int64_t i = 0; i < term.results; ++i) {
      const double scale = term.scales != nullptr ? term.scales[i] : 1.0;
      sum += scale * scale * squares[i];
    }
  }
  return std::sqrt(sum);
}

}  // namespace topiary
