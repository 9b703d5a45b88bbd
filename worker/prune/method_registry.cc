#include "worker/prune/method_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/prune/dense_method.h"

namespace topiary {
namespace {

using MethodFactory = absl::StatusOr<std::unique_ptr<Method>> (*)(const MethodOptions&,
                                                                  const PruningTarget&,
                                                                  std::vector<MethodLayer>,
                                                                  int64_t total_steps);

struct RegisteredMethod {
  const char* name;
  bool prunes;
  MethodFactory create;
};

constexpr RegisteredMethod kMethods[] = {
    {"ac_dc", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) { return NewAcDc(options.ac_dc, target, std::move(layers), steps); }},
    {"dense", false,
     // Of the table's type. NOLINTNEXTLINE(performance-unnecessary-value-param)
     [](const MethodOptions&, const PruningTarget&, std::vector<MethodLayer>, int64_t steps) {
       return NewDenseMethod(steps);
     }},
    {"group_lasso", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) {
       return NewGroupLasso(options.group_lasso, target, std::move(layers), steps);
     }},
    {"iht", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) { return NewIht(options.iht, target, std::move(layers), steps); }},
    {"magnitude", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) {
       return NewMagnitudeMethod(options.magnitude, target, std::move(layers), steps);
     }},
    {"movement", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) { return NewMovement(options.movement, target, std::move(layers), steps); }},
    {"power_propagation", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) {
       return NewPowerPropagation(options.power_propagation, target, std::move(layers), steps);
     }},
    {"random", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) {
       return NewRandomPruning(options.random, target, std::move(layers), steps);
     }},
    {"rigl", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) { return NewRigL(options.rigl, target, std::move(layers), steps); }},
    {"sequential_attention_pp", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) {
       return NewSequentialAttentionPlusPlus(options.sequential_attention_pp, target,
                                             std::move(layers), steps);
     }},
    {"snip", true,
     [](const MethodOptions& options, const PruningTarget& target, std::vector<MethodLayer> layers,
        int64_t steps) { return NewSnip(options.snip, target, std::move(layers), steps); }},
};

const RegisteredMethod* Find(const std::string& name) {
  for (const RegisteredMethod& method : kMethods) {
    if (name == method.name) return &method;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> MethodNames() {
  std::vector<std::string> names;
  for (const RegisteredMethod& method : kMethods) names.emplace_back(method.name);
  return names;
}

bool MethodPrunes(const std::string& name) {
  const RegisteredMethod* method = Find(name);
  return method != nullptr && method->prunes;
}

absl::StatusOr<std::unique_ptr<Method>> NewMethod(const MethodOptions& options,
                                                  const PruningTarget& target,
                                                  std::vector<MethodLayer> layers,
                                                  int64_t total_steps) {
  const RegisteredMethod* method = Find(options.name);
  if (method == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown method '", options.name, "': use ",
                                                   absl::StrJoin(MethodNames(), ", ")));
  }
  return method->create(options, target, std::move(layers), total_steps);
}

}  // namespace topiary
