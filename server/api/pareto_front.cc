#include "server/api/pareto_front.h"

#include <algorithm>
#include <cmath>

namespace topiary {
namespace {

bool Dominates(const ModelMerit& a, const ModelMerit& b) {
  if (a.quality < b.quality || a.sparsity < b.sparsity || a.bytes > b.bytes) return false;
  return a.quality > b.quality || a.sparsity > b.sparsity || a.bytes < b.bytes;
}

}  // namespace

std::vector<bool> ParetoFront(const std::vector<ModelMerit>& models) {
  std::vector<bool> front;
  for (const ModelMerit& model : models) {
    front.push_back(std::isfinite(model.quality) &&
                    std::none_of(models.begin(), models.end(),
                                 [&](const ModelMerit& other) { return Dominates(other, model); }));
  }
  return front;
}

}  // namespace topiary
