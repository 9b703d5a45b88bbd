#include "worker/prune/dense_method.h"

#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

class DenseMethod : public PhasedMethod {
 public:
  explicit DenseMethod(PhasePlan plan) : PhasedMethod({}, std::move(plan), {}) {}
  absl::string_view name() const override { return "dense"; }

 protected:
  double SparsityAt(double, double) const override { return 0; }
  std::vector<std::vector<float>> Scores(LayerTensors&) override { return {}; }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewDenseMethod(int64_t total_steps) {
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create({{PhaseKind::kDense, 1}}, total_steps));
  return std::make_unique<DenseMethod>(std::move(plan));
}

}  // namespace topiary
