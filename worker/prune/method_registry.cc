#include "worker/prune/method_registry.h"

#include <tuple>
#include <utility>

namespace topiary {
namespace {

template <typename Options>
struct RegisteredMethod {
  const char* name;
  absl::StatusOr<std::unique_ptr<Method>> (*create)(const Options& options,
                                                    const PruningTarget& target,
                                                    std::vector<MethodLayer> layers,
                                                    int64_t total_steps);
};

// Of the table's type. NOLINTNEXTLINE(performance-unnecessary-value-param)
absl::StatusOr<std::unique_ptr<Method>> NewDense(const DenseOptions&, const PruningTarget&,
                                                 std::vector<MethodLayer>, int64_t total_steps) {
  return NewDenseMethod(total_steps);
}

constexpr std::tuple kMethods = {
    RegisteredMethod<DenseOptions>{"dense", NewDense},
    RegisteredMethod<AcDcOptions>{"ac_dc", NewAcDc},
    RegisteredMethod<GroupLassoOptions>{"group_lasso", NewGroupLasso},
    RegisteredMethod<IhtOptions>{"iht", NewIht},
    RegisteredMethod<MagnitudeOptions>{"magnitude", NewMagnitudeMethod},
    RegisteredMethod<MovementOptions>{"movement", NewMovement},
    RegisteredMethod<PowerPropagationOptions>{"power_propagation", NewPowerPropagation},
    RegisteredMethod<RandomPruningOptions>{"random", NewRandomPruning},
    RegisteredMethod<RigLOptions>{"rigl", NewRigL},
    RegisteredMethod<SequentialAttentionPlusPlusOptions>{"sequential_attention_pp",
                                                         NewSequentialAttentionPlusPlus},
    RegisteredMethod<SnipOptions>{"snip", NewSnip},
};

template <typename Options>
constexpr const RegisteredMethod<Options>& RegisteredFor(const Options&) {
  return std::get<RegisteredMethod<Options>>(kMethods);
}

}  // namespace

absl::string_view RegisteredName(const MethodOptions& options) {
  return std::visit(
      [](const auto& chosen) -> absl::string_view { return RegisteredFor(chosen).name; }, options);
}

bool Prunes(const MethodOptions& options) { return !std::holds_alternative<DenseOptions>(options); }

absl::StatusOr<std::unique_ptr<Method>> NewMethod(const MethodOptions& options,
                                                  const PruningTarget& target,
                                                  std::vector<MethodLayer> layers,
                                                  int64_t total_steps) {
  return std::visit(
      [&](const auto& chosen) {
        return RegisteredFor(chosen).create(chosen, target, std::move(layers), total_steps);
      },
      options);
}

}  // namespace topiary
