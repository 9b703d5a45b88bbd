#include "worker/prune/phases.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

absl::Status CheckShares(const std::vector<PhaseShare>& shares, int64_t total_steps) {
  if (total_steps < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a run needs at least one step to be cut in phases, got ", total_steps));
  }
  double sum = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    if (!std::isfinite(shares[i].share) || shares[i].share < 0) {
      return absl::InvalidArgumentError(absl::StrCat("phases[", i, "].share is ", shares[i].share,
                                                     ": it must be a finite number >= 0"));
    }
    sum += shares[i].share;
  }
  if (sum <= 0 || !std::isfinite(sum)) {
    return absl::InvalidArgumentError("phases: at least one phase must have a share above 0");
  }
  return absl::OkStatus();
}

// Lengths in steps by rounding the cumulated shares.
std::vector<int64_t> ProportionalLengths(const std::vector<PhaseShare>& shares,
                                         int64_t total_steps) {
  double sum = 0;
  for (const PhaseShare& share : shares) sum += share.share;
  std::vector<int64_t> lengths;
  double cumulated = 0;
  int64_t begin = 0;
  for (const PhaseShare& share : shares) {
    cumulated += share.share;
    const int64_t end =
        std::min<int64_t>(total_steps, std::llround(cumulated / sum * double(total_steps)));
    lengths.push_back(end - begin);
    begin = end;
  }
  lengths.back() += total_steps - begin;
  return lengths;
}

// Index of the last phase of `kind` with a share; -1 if there is none.
int LastOf(PhaseKind kind, const std::vector<PhaseShare>& shares) {
  for (int i = static_cast<int>(shares.size()) - 1; i >= 0; --i) {
    if (shares[i].kind == kind && shares[i].share > 0) return i;
  }
  return -1;
}

// Gives phase `keep`, if it came out empty, one step of the longest phase, which is neither `keep`
// nor `spare` unless it has steps to spare.
void KeepNotEmpty(int keep, int spare, std::vector<int64_t>* lengths) {
  if (keep < 0 || (*lengths)[keep] > 0) return;
  int donor = -1;
  for (int i = 0; i < static_cast<int>(lengths->size()); ++i) {
    const int64_t needed = i == spare ? 2 : 1;
    if ((*lengths)[i] < needed) continue;
    if (donor < 0 || (*lengths)[i] > (*lengths)[donor]) donor = i;
  }
  if (donor < 0) return;
  --(*lengths)[donor];
  ++(*lengths)[keep];
}

}  // namespace

absl::string_view PhaseKindName(PhaseKind kind) {
  switch (kind) {
    case PhaseKind::kDense:
      return "dense";
    case PhaseKind::kSparsify:
      return "sparsification";
    case PhaseKind::kSparse:
      return "sparse";
  }
  return "unknown";
}

absl::StatusOr<PhasePlan> PhasePlan::Create(const std::vector<PhaseShare>& shares,
                                            int64_t total_steps) {
  const absl::Status valid = CheckShares(shares, total_steps);
  if (!valid.ok()) return valid;
  std::vector<int64_t> lengths = ProportionalLengths(shares, total_steps);
  const int sparse = LastOf(PhaseKind::kSparse, shares);
  const int sparsify = LastOf(PhaseKind::kSparsify, shares);
  KeepNotEmpty(sparse, sparsify, &lengths);
  KeepNotEmpty(sparsify, sparse, &lengths);
  PhasePlan plan;
  int64_t begin = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    if (lengths[i] == 0) continue;
    plan.phases_.push_back({shares[i].kind, begin, lengths[i]});
    begin += lengths[i];
  }
  return plan;
}

PhasePosition PhasePlan::At(int64_t step) const {
  CHECK(step >= 0 && step < total_steps()) << "step " << step << " is outside the run";
  const auto next =
      std::upper_bound(phases_.begin(), phases_.end(), step,
                       [](int64_t value, const Phase& phase) { return value < phase.begin; });
  const Phase& phase = *(next - 1);
  return {int(next - 1 - phases_.begin()), phase, step == phase.begin,
          double(step - phase.begin + 1) / double(phase.length)};
}

absl::StatusOr<std::vector<PhaseShare>> PhasePreset(absl::string_view name) {
  std::vector<PhaseShare> shares;
  const auto add_cycles = [&shares](int count, double share_of_cycle) {
    for (int i = 0; i < count; ++i) {
      shares.push_back({PhaseKind::kSparsify, share_of_cycle / 3});
      shares.push_back({PhaseKind::kSparse, share_of_cycle / 3});
      shares.push_back({PhaseKind::kDense, share_of_cycle / 3});
    }
  };
  const auto alternate = [&shares](int cycles, double share_of_phase) {
    for (int i = 0; i < cycles; ++i) {
      shares.push_back({PhaseKind::kSparse, share_of_phase});
      shares.push_back({PhaseKind::kDense, share_of_phase});
    }
  };
  if (name == "single") {
    shares = {{PhaseKind::kDense, 20}, {PhaseKind::kSparsify, 50}, {PhaseKind::kSparse, 30}};
  } else if (name == "paper_imagenet") {
    shares.push_back({PhaseKind::kDense, 10});
    add_cycles(6, 10);
    shares.push_back({PhaseKind::kSparsify, 15});
    shares.push_back({PhaseKind::kSparse, 15});
  } else if (name == "paper_criteo") {
    shares.push_back({PhaseKind::kDense, 20});
    add_cycles(10, 6);
    shares.push_back({PhaseKind::kSparse, 20});
  } else if (name == "ac_dc_imagenet") {
    shares.push_back({PhaseKind::kDense, 10});
    alternate(6, 5);
    shares.push_back({PhaseKind::kSparse, 5});
    shares.push_back({PhaseKind::kDense, 10});
    shares.push_back({PhaseKind::kSparse, 15});
  } else if (name == "ac_dc_cifar10") {
    shares.push_back({PhaseKind::kDense, 5});
    alternate(4, 10);
    shares.push_back({PhaseKind::kSparse, 15});
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown phase preset '", name,
                     "': use single, paper_imagenet, paper_criteo, ac_dc_imagenet or "
                     "ac_dc_cifar10"));
  }
  return shares;
}

absl::StatusOr<std::vector<PhaseShare>> OneShotPhases(double at, absl::string_view field) {
  if (!(at >= 0 && at < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is ", at, ": it must lie in [0, 1)"));
  }
  return std::vector<PhaseShare>{{PhaseKind::kDense, at}, {PhaseKind::kSparse, 1 - at}};
}

absl::StatusOr<std::vector<PhaseShare>> GradualPhases(double begin, double end,
                                                      absl::string_view message) {
  if (!(begin >= 0 && begin < end && end <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(message, ": begin_fraction ", begin,
                                                   " and end_fraction ", end,
                                                   " must satisfy 0 <= begin < end <= 1"));
  }
  return std::vector<PhaseShare>{{PhaseKind::kDense, begin},
                                 {PhaseKind::kSparsify, end - begin},
                                 {PhaseKind::kSparse, 1 - end}};
}

absl::StatusOr<PhasePlan> GradualPlanAfterSteps(double begin, double end, absl::string_view message,
                                                int64_t total_steps) {
  ASSIGN_OR_RETURN(const std::vector<PhaseShare> shares, GradualPhases(begin, end, message));
  ASSIGN_OR_RETURN(PhasePlan plan, PhasePlan::Create(shares, total_steps));
  if (plan.phases().front().kind != PhaseKind::kDense) {
    return absl::InvalidArgumentError(
        absl::StrCat(message, ".begin_fraction is ", begin, ", which of ", total_steps,
                     " steps leaves none before the first choice: raise it"));
  }
  return plan;
}

}  // namespace topiary
