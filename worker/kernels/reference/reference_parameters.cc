#include <array>
#include <cmath>
#include <vector>

#include "common/check.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

// Calls visit(element, block) for every element that `runs` cover.
template <typename Visit>
void ForEachElementOfBlocks(const BlockRuns& runs, Visit visit) {
  for (const BlockRun& run : runs.runs) {
    for (int64_t i = 0; i < run.length; ++i) visit(run.At(i), run.BlockOf(i));
  }
}

// dst[block] = the sum of a * b over the block.
void SumProducts(const BlockRuns& runs, const float* a, const float* b, float* dst) {
  std::vector<double> sums(runs.block_count);
  ForEachElementOfBlocks(runs,
                         [&](int64_t i, int64_t block) { sums[block] += double{a[i]} * b[i]; });
  for (size_t block = 0; block < sums.size(); ++block) dst[block] = static_cast<float>(sums[block]);
}

class Update {
 public:
  Update(const OptimizerParameters& p, Buffers buffers)
      : p_(p),
        s_(*p.scalars),
        learning_rate_(double{s_.learning_rate} * p.learning_rate_multiplier),
        value_(F32(buffers, 0)),
        gradient_(F32(buffers, 1)) {
    for (int i = 0; i < OptimizerSlotCount(p); ++i) slots_[i] = F32(buffers, 2 + i);
  }

  void Element(int64_t i, double block_scale) {
    const double g = double{s_.gradient_scale} * gradient_[i] * block_scale;
    value_[i] = static_cast<float>(p_.kind == OptimizerKind::kSgd ? Sgd(i, g) : Adam(i, g));
  }

 private:
  double Sgd(int64_t i, double g) {
    const double w = value_[i];
    g += double{p_.weight_decay} * w;
    if (p_.momentum == 0) return w - learning_rate_ * g;
    const double m = double{p_.momentum} * slots_[0][i] + g;
    slots_[0][i] = static_cast<float>(m);
    return w - learning_rate_ * (p_.nesterov ? g + double{p_.momentum} * m : m);
  }

  double Adam(int64_t i, double g) {
    double w = value_[i];
    if (p_.kind == OptimizerKind::kAdam) g += double{p_.weight_decay} * w;
    if (p_.kind == OptimizerKind::kAdamW) w -= learning_rate_ * p_.weight_decay * w;
    const double m = double{p_.beta1} * slots_[0][i] + (1 - double{p_.beta1}) * g;
    const double v = double{p_.beta2} * slots_[1][i] + (1 - double{p_.beta2}) * g * g;
    slots_[0][i] = static_cast<float>(m);
    slots_[1][i] = static_cast<float>(v);
    return w - learning_rate_ * (m / s_.bias_correction_1) /
                   (std::sqrt(v / s_.bias_correction_2) + p_.epsilon);
  }

  const OptimizerParameters& p_;
  const UpdateScalars& s_;
  const double learning_rate_;
  float* value_;
  const float* gradient_;
  std::array<float*, 2> slots_ = {};
};

}  // namespace

void SumOfSquares(const OpDescription& op, Buffers buffers) {
  double sum = 0;
  for (int64_t i = 0; i < op.operands[0].shape.element_count(); ++i) {
    sum += double{F32(buffers, 0)[i]} * F32(buffers, 0)[i];
  }
  F32(buffers, 1)[0] = static_cast<float>(sum);
}

void ScaleBlocks(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<BlockParameters>(op.parameters);
  ForEachElementOfBlocks(*p.runs, [&](int64_t i, int64_t block) {
    F32(buffers, 2)[i] = F32(buffers, 1)[block] * F32(buffers, 0)[i];
  });
}

void BlockInnerProducts(const OpDescription& op, Buffers buffers) {
  SumProducts(*std::get<BlockParameters>(op.parameters).runs, F32(buffers, 0), F32(buffers, 1),
              F32(buffers, 2));
}

void OptimizerUpdate(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<OptimizerParameters>(op.parameters);
  CHECK(p.scalars != nullptr);
  Update update(p, buffers);
  if (p.runs == nullptr) {
    for (int64_t i = 0; i < op.operands[0].shape.element_count(); ++i) update.Element(i, 1);
    return;
  }
  const int block_scale = 2 + OptimizerSlotCount(p);
  const float* scale = F32(buffers, block_scale);
  if (p.inner_products) {
    SumProducts(*p.runs, F32(buffers, 1), F32(buffers, 0), F32(buffers, block_scale + 1));
  }
  ForEachElementOfBlocks(*p.runs, [&](int64_t i, int64_t block) {
    if (scale[block] != 0) update.Element(i, scale[block]);
  });
}

}  // namespace reference
}  // namespace topiary
