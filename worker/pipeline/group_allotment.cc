#include "worker/pipeline/group_allotment.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/status_macros.h"
#include "worker/export/shrink.h"
#include "worker/model/inference_form.h"
#include "worker/pipeline/memory_estimate.h"
#include "worker/pipeline/model_size.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/pipeline/shrunk_model.h"
#include "worker/prune/candidate_group.h"
#include "worker/prune/support.h"

namespace topiary {
namespace {

// How many elements a candidate has in each part: those that have the same are alike.
using Shares = std::map<std::pair<std::string, bool>, int64_t>;  // By weight and whether coupled.

std::vector<Shares> SharesOfCandidates(const CandidateGroup& group) {
  std::vector<Shares> shares(group.count());
  for (const bool coupled : {false, true}) {
    for (const CandidatePart& part : coupled ? group.coupled() : group.scaled()) {
      for (const BlockRun& run : part.runs) {
        shares[run.block][{part.weight, coupled}] += run.length;
      }
    }
  }
  return shares;
}

// Narrower models of a job's, in the amount of a budget.
class NarrowerModels {
 public:
  NarrowerModels(const JobSpec& spec, const LoadedJob& job,
                 const std::function<absl::Status()>& check)
      : budget_(*spec.target->size),
        job_(job),
        // A trial has two more copies of the weights.
        memory_bytes_(
            MemoryBesideWeights(spec, job.graph, job.data.bytes() + 2 * WeightBytes(job.graph))),
        check_(check),
        groups_(GroupsToPrune(job)) {}

  absl::StatusOr<std::vector<int64_t>> MostWithin(absl::Span<const BudgetedLayer> layers) {
    ASSIGN_OR_RETURN(model_, InferenceForm(job_.graph));
    RETURN_IF_ERROR(MoveFromZero(&model_));
    ASSIGN_OR_RETURN(shapes_, InputShapesForBatch(model_, job_.batch));
    RETURN_IF_ERROR(CheckShrinkMemory(model_, shapes_, memory_bytes_));
    ASSIGN_OR_RETURN(const int64_t whole, AmountOfOnnx(model_, budget_.amount));
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
    if (unpruned <= requested) {
      // A size is a limit, which bounds may undercut.
      bool prunes = false;
      for (size_t i = 0; i < most.size(); ++i) prunes |= most[i] < layers[i].block_count;
      if (prunes && requested < whole) return most;
      return TooMuch(whole, requested, unpruned);
    }
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
    // Groups that are due for a candidate at the same share get it one after another.
    for (size_t i = 0; i < least.size(); ++i) {
      if (least[i] == most[i]) continue;
      const int64_t kept = std::exchange(least[i], most[i]);
      ASSIGN_OR_RETURN(const int64_t amount, AmountWith(least));
      if (amount > requested) least[i] = kept;
    }
    return least;
  }

 private:
  // The order in which candidates are taken away in each group: those first without which alone
  // most of the model is left. Of candidates that are alike one is tried.
  absl::Status RankCandidates() {
    for (const GroupChoice* choice : groups_) {
      const std::vector<Shares> shares = SharesOfCandidates(*choice->group);
      std::map<Shares, int64_t> first_of_kind;
      for (size_t i = 0; i < shares.size(); ++i) first_of_kind.emplace(shares[i], i);
      std::map<Shares, int64_t> left_by_kind;
      for (const auto& [kind, candidate] : first_of_kind) {
        int64_t& left = left_by_kind[kind];
        if (first_of_kind.size() == 1) break;
        Support support(shares.size(), 1);
        support[candidate] = 0;
        ASSIGN_OR_RETURN(left, AmountOfModelWithout({{choice->group, std::move(support)}}));
      }
      std::vector<int64_t> order(shares.size());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return left_by_kind.at(shares[a]) > left_by_kind.at(shares[b]);
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
    ASSIGN_OR_RETURN(const ShrunkModel shrunk, Shrink(graph, shapes_, check_));
    return AmountOfOnnx(shrunk.graph, budget_.amount);
  }

  absl::Status CannotBeMet(absl::string_view message) const {
    return absl::FailedPreconditionError(
        absl::StrCat("spec.target.", AmountName(budget_.amount), ": ", message));
  }

  absl::Status TooLittle(int64_t whole, int64_t requested, int64_t smallest) const {
    return CannotBeMet(absl::StrFormat(
        "of %d in the model %d are to be left, but it has %d at the least, with all groups pruned "
        "as far as they may be: ask for less pruning, or have more of the model pruned (lower "
        "target.min_candidates, loosen target.layer_targets, protect and exclude less)",
        whole, requested, smallest));
  }

  absl::Status TooMuch(int64_t whole, int64_t requested, int64_t most) const {
    return CannotBeMet(absl::StrFormat(
        "of %d in the model %d may be left, and it has no more than %d with as many candidates as "
        "may stay: nothing would be pruned for it; ask for more pruning",
        whole, requested, most));
  }

  const SizeBudgetSpec& budget_;
  const LoadedJob& job_;
  const std::optional<int64_t> memory_bytes_;
  const std::function<absl::Status()>& check_;
  const std::vector<const GroupChoice*> groups_;
  Graph model_;
  std::map<std::string, Shape> shapes_;       // Of its inputs.
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

absl::Status MoveFromZero(Graph* graph) {
  ASSIGN_OR_RETURN(const std::set<std::string> trainable, TrainableWeights(*graph));
  for (const std::string& name : trainable) {
    constexpr float kSmall = 1e-3F;
    for (float& value : graph->FindInitializer(name)->value.span<float>()) {
      if (value == 0) value = kSmall;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> CandidatesWithin(const JobSpec& spec, const LoadedJob& job,
                                                      absl::Span<const BudgetedLayer> groups,
                                                      const std::function<absl::Status()>& check) {
  return NarrowerModels(spec, job, check).MostWithin(groups);
}

}  // namespace topiary
