#include "worker/pipeline/group_allotment.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/status_macros.h"
#include "worker/export/shrink.h"
#include "worker/model/inference_form.h"
#include "worker/model/shape_inference.h"
#include "worker/pipeline/model_size.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

// In all weights; an element of two parts counts twice.
std::vector<int64_t> ElementsOfCandidates(const CandidateGroup& group) {
  std::vector<int64_t> elements(group.count(), 0);
  for (const absl::Span<const CandidatePart> parts : {group.scaled(), group.coupled()}) {
    for (const CandidatePart& part : parts) {
      for (const BlockRun& run : part.runs) elements[run.block] += run.length;
    }
  }
  return elements;
}

// Narrower models of a job's, in the amount of a budget.
class NarrowerModels {
 public:
  NarrowerModels(const SizeBudgetSpec& budget, const LoadedJob& job,
                 const std::function<absl::Status()>& check)
      : budget_(budget), job_(job), check_(check), groups_(GroupsToPrune(job)) {}

  absl::StatusOr<std::vector<int64_t>> MostWithin(absl::Span<const BudgetedLayer> layers) {
    ASSIGN_OR_RETURN(model_, InferenceForm(job_.graph));
    RETURN_IF_ERROR(MoveFromZero(job_.batch, &model_));
    ASSIGN_OR_RETURN(const ModelSize dense, SizeOfOnnx(model_));
    const int64_t whole = AmountOf(dense, budget_.amount);
    const int64_t requested = RequestedAmount(budget_, whole);
    RETURN_IF_ERROR(RankCandidates());
    int64_t largest = 1;
    for (const BudgetedLayer& layer : layers) largest = std::max(largest, layer.block_count);
    const auto uniform = NewUniformAllocation(layers.size());
    const auto kept_at = [&](double share) { return AllotmentAt(*uniform, layers, share).kept; };
    std::vector<int64_t> least = kept_at(0);
    std::vector<int64_t> most = kept_at(1);
    ASSIGN_OR_RETURN(const int64_t smallest, AmountWith(least));
    if (smallest > requested) return TooLittle(whole, requested, smallest);
    ASSIGN_OR_RETURN(const int64_t unpruned, AmountWith(most));
    if (unpruned <= requested) return TooMuch(whole, requested, unpruned);
    double low = 0, high = 1;
    // Finer than one candidate of any group.
    while (high - low > 0.25 / static_cast<double>(largest)) {
      const double middle = (low + high) / 2;
      std::vector<int64_t> kept = kept_at(middle);
      bool fits = kept == least;
      if (!fits && kept != most) {
        ASSIGN_OR_RETURN(const int64_t amount, AmountWith(kept));
        fits = amount <= requested;
      }
      (fits ? low : high) = middle;
      (fits ? least : most) = std::move(kept);
    }
    return least;
  }

 private:
  // The order in which candidates are taken away in each group: those that save least first, so
  // that whatever others are chosen save no less. Where they differ in size, one of each size is
  // tried.
  absl::Status RankCandidates() {
    for (const GroupChoice* choice : groups_) {
      const std::vector<int64_t> elements = ElementsOfCandidates(*choice->group);
      std::map<int64_t, int64_t> amount_by_size;  // Of the model without one of them.
      for (size_t i = 0; i < elements.size(); ++i) amount_by_size.emplace(elements[i], i);
      if (amount_by_size.size() > 1) {
        for (auto& [size, amount] : amount_by_size) {
          Support support(elements.size(), 1);
          support[amount] = 0;
          ASSIGN_OR_RETURN(amount, AmountOfModelWithout({{choice->group, std::move(support)}}));
        }
      }
      std::vector<int64_t> order(elements.size());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return amount_by_size.at(elements[a]) > amount_by_size.at(elements[b]);
      });
      orders_.push_back(std::move(order));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> AmountWith(const std::vector<int64_t>& kept) const {
    std::vector<PrunedGroup> pruned;
    for (size_t i = 0; i < groups_.size(); ++i) {
      Support support(groups_[i]->group->count(), 1);
      const int64_t gone = groups_[i]->group->count() - kept[i];
      for (int64_t k = 0; k < gone; ++k) support[orders_[i][k]] = 0;
      pruned.push_back({groups_[i]->group, std::move(support)});
    }
    return AmountOfModelWithout(pruned);
  }

  absl::StatusOr<int64_t> AmountOfModelWithout(const std::vector<PrunedGroup>& pruned) const {
    RETURN_IF_ERROR(check_());
    Graph graph = model_.Clone();
    ZeroPrunedGroups(pruned, &graph);
    ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, job_.batch));
    ASSIGN_OR_RETURN(const ShrunkModel shrunk, Shrink(graph, shapes, check_));
    ASSIGN_OR_RETURN(const ModelSize size, SizeOfOnnx(shrunk.graph));
    return AmountOf(size, budget_.amount);
  }

  absl::Status CannotBeMet(absl::string_view message) const {
    return absl::FailedPreconditionError(
        absl::StrCat("spec.target.", AmountName(budget_.amount), ": ", message));
  }

  absl::Status TooLittle(int64_t whole, int64_t requested, int64_t smallest) const {
    return CannotBeMet(absl::StrFormat(
        "of %d in the model %d are to be left, but it has %d at the least, with all groups pruned "
        "as far as they may be: ask for less pruning, lower target.min_candidates so that more "
        "groups are pruned, or loosen target.layer_targets",
        whole, requested, smallest));
  }

  absl::Status TooMuch(int64_t whole, int64_t requested, int64_t most) const {
    return CannotBeMet(absl::StrFormat(
        "of %d in the model %d may be left, and it has no more than %d where target.layer_targets "
        "let everything else stay: nothing would be pruned for it; ask for more pruning",
        whole, requested, most));
  }

  const SizeBudgetSpec& budget_;
  const LoadedJob& job_;
  const std::function<absl::Status()>& check_;
  const std::vector<const GroupChoice*> groups_;
  Graph model_;
  std::vector<std::vector<int64_t>> orders_;  // Of each group.
};

}  // namespace

std::vector<const GroupChoice*> GroupsToPrune(const LoadedJob& job) {
  std::vector<const GroupChoice*> groups;
  for (const GroupChoice& choice : job.groups) {
    if (choice.dense_reason.empty()) groups.push_back(&choice);
  }
  return groups;
}

absl::Status MoveFromZero(int64_t batch, Graph* graph) {
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(*graph, batch));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(*graph, shapes));
  for (const std::string& name : inferred.parameters) {
    constexpr float kSmall = 1e-3F;
    for (float& value : graph->FindInitializer(name)->value.span<float>()) {
      if (value == 0) value = kSmall;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> CandidatesWithin(const SizeBudgetSpec& budget,
                                                      const LoadedJob& job,
                                                      absl::Span<const BudgetedLayer> groups,
                                                      const std::function<absl::Status()>& check) {
  return NarrowerModels(budget, job, check).MostWithin(groups);
}

}  // namespace topiary
