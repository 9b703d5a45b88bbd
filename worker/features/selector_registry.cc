#include "worker/features/selector_registry.h"

#include <tuple>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Has one of the two functions that choose.
template <typename Options>
struct RegisteredSelector {
  const char* name;
  absl::StatusOr<std::unique_ptr<FeatureSelector>> (*create)(const Options& options,
                                                             CandidateFeatures candidates,
                                                             int64_t count, int64_t total_steps);
  absl::StatusOr<std::vector<ChosenFeature>> (*select)(const Options& options,
                                                       const FeatureLayer& features, int64_t count,
                                                       const SelectionData& data);
  // More than SelectorBytes() counts per row, where there is more.
  int64_t (*bytes)(const FeatureLayer& features, int64_t count) = nullptr;
};

// Of the features as they are found and as a selector has them: elements, rows, masks and scores.
constexpr int64_t kBytesPerRow = 200;

constexpr std::tuple kSelectors = {
    RegisteredSelector<SequentialAttentionOptions>{"sequential_attention", NewSequentialAttention,
                                                   nullptr},
    RegisteredSelector<ConcreteAutoencoderOptions>{"concrete_autoencoder", NewConcreteAutoencoder,
                                                   nullptr, ConcreteAutoencoderBytes},
    RegisteredSelector<GroupLassoSelectorOptions>{"group_lasso", NewGroupLassoSelector, nullptr},
    RegisteredSelector<LiaoLattyYangOptions>{"liao_latty_yang", NewLiaoLattyYang, nullptr,
                                             LiaoLattyYangBytes},
    RegisteredSelector<LinearOmpOptions>{"omp_linear", nullptr, SelectByLinearOmp},
    RegisteredSelector<OmpOptions>{"omp", NewOmp, nullptr, OmpBytes},
    RegisteredSelector<RandomFeaturesOptions>{"random", nullptr, DrawFeatures},
    RegisteredSelector<SequentialLassoOptions>{"sequential_lasso", NewSequentialLasso, nullptr},
    RegisteredSelector<StochasticGatesOptions>{"stochastic_gates", NewStochasticGates, nullptr},
};

template <typename Options>
constexpr const RegisteredSelector<Options>& RegisteredFor(const Options&) {
  return std::get<RegisteredSelector<Options>>(kSelectors);
}

}  // namespace

absl::string_view SelectorName(const SelectorOptions& options) {
  return std::visit(
      [](const auto& chosen) -> absl::string_view { return RegisteredFor(chosen).name; }, options);
}

bool TrainsToSelect(const SelectorOptions& options) {
  return std::visit([](const auto& chosen) { return RegisteredFor(chosen).create != nullptr; },
                    options);
}

int64_t SelectorBytes(const SelectorOptions& options, const FeatureLayer& features, int64_t count) {
  const int64_t of_rows = kBytesPerRow * features.layer.rows;
  return std::visit(
      [&](const auto& chosen) {
        const auto bytes = RegisteredFor(chosen).bytes;
        return of_rows + (bytes == nullptr ? 0 : bytes(features, count));
      },
      options);
}

absl::StatusOr<std::unique_ptr<FeatureSelector>> NewFeatureSelector(const SelectorOptions& options,
                                                                    CandidateFeatures candidates,
                                                                    int64_t count,
                                                                    int64_t total_steps) {
  CHECK(TrainsToSelect(options));
  return std::visit(
      [&](const auto& chosen) {
        return RegisteredFor(chosen).create(chosen, std::move(candidates), count, total_steps);
      },
      options);
}

absl::StatusOr<std::vector<ChosenFeature>> SelectWithoutTraining(const SelectorOptions& options,
                                                                 const FeatureLayer& features,
                                                                 int64_t count,
                                                                 const SelectionData& data) {
  CHECK(!TrainsToSelect(options));
  // Of the schedule only the check of the count is used.
  RETURN_IF_ERROR(
      SelectionSchedule::Create(static_cast<int64_t>(features.features.size()), count, count, 0, 1)
          .status());
  return std::visit(
      [&](const auto& chosen) {
        return RegisteredFor(chosen).select(chosen, features, count, data);
      },
      options);
}

}  // namespace topiary
