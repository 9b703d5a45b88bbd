#include "worker/prune/method_registry.h"

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace topiary {
namespace {

template <typename Options>
struct RegisteredMethod {
  const char* name;
  // Whether it prunes groups of candidates (MethodLayer::group) too.
  bool prunes_groups;
  absl::StatusOr<std::unique_ptr<Method>> (*create)(const Options& options,
                                                    const PruningTarget& target,
                                                    std::vector<MethodLayer> layers,
                                                    int64_t total_steps);
};

// Of the table's type. NOLINTBEGIN(performance-unnecessary-value-param)
absl::StatusOr<std::unique_ptr<Method>> NewDense(const DenseOptions&, const PruningTarget&,
                                                 std::vector<MethodLayer>, int64_t total_steps) {
  return NewDenseMethod(total_steps);
}
// NOLINTEND(performance-unnecessary-value-param)

constexpr std::tuple kMethods = {
    RegisteredMethod<DenseOptions>{"dense", false, NewDense},
    RegisteredMethod<AcDcOptions>{"ac_dc", true, NewAcDc},
    RegisteredMethod<FisherAttentionOptions>{"fisher_attention", true, NewFisherAttention},
    RegisteredMethod<GroupLassoOptions>{"group_lasso", false, NewGroupLasso},
    RegisteredMethod<GroupObsOptions>{"group_obs", true, NewGroupObs},
    RegisteredMethod<IhtOptions>{"iht", false, NewIht},
    RegisteredMethod<MagnitudeOptions>{"magnitude", true, NewMagnitudeMethod},
    RegisteredMethod<MovementOptions>{"movement", true, NewMovement},
    RegisteredMethod<PowerPropagationOptions>{"power_propagation", false, NewPowerPropagation},
    RegisteredMethod<RandomPruningOptions>{"random", true, NewRandomPruning},
    RegisteredMethod<RigLOptions>{"rigl", false, NewRigL},
    RegisteredMethod<SequentialAttentionPlusPlusOptions>{"sequential_attention_pp", true,
                                                         NewSequentialAttentionPlusPlus},
    RegisteredMethod<SnipOptions>{"snip", true, NewSnip},
    RegisteredMethod<SparseGptOptions>{"sparsegpt", true, NewSparseGpt},
    RegisteredMethod<WandaOptions>{"wanda", true, NewWanda},
};

template <typename Options>
constexpr const RegisteredMethod<Options>& RegisteredFor(const Options&) {
  return std::get<RegisteredMethod<Options>>(kMethods);
}

// Of those that prune groups too: "ac_dc, magnitude, ...".
std::string NamesOfGroupMethods() {
  std::vector<absl::string_view> names;
  std::apply(
      [&](const auto&... methods) {
        const auto add = [&](const auto& method) {
          if (method.prunes_groups) names.push_back(method.name);
        };
        (add(methods), ...);
      },
      kMethods);
  return absl::StrJoin(names, ", ");
}

}  // namespace

absl::string_view RegisteredName(const MethodOptions& options) {
  return std::visit(
      [](const auto& chosen) -> absl::string_view { return RegisteredFor(chosen).name; }, options);
}

bool Prunes(const MethodOptions& options) { return !std::holds_alternative<DenseOptions>(options); }

bool PrunesGroups(const MethodOptions& options) {
  return std::visit([](const auto& chosen) { return RegisteredFor(chosen).prunes_groups; },
                    options);
}

absl::StatusOr<std::unique_ptr<Method>> NewMethod(const MethodOptions& options,
                                                  const PruningTarget& target,
                                                  std::vector<MethodLayer> layers,
                                                  int64_t total_steps) {
  return std::visit(
      [&](const auto& chosen) -> absl::StatusOr<std::unique_ptr<Method>> {
        if (target.structure.has_value() && Prunes(options) && !PrunesGroups(options)) {
          return absl::InvalidArgumentError(absl::StrCat(
              "target.structure: method ", RegisteredFor(chosen).name,
              " prunes blocks of weights only: leave the structure out, or use one of ",
              NamesOfGroupMethods()));
        }
        return RegisteredFor(chosen).create(chosen, target, std::move(layers), total_steps);
      },
      options);
}

}  // namespace topiary
