#ifndef TOPIARY_WORKER_PRUNE_PHASES_H_
#define TOPIARY_WORKER_PRUNE_PHASES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// What the support (the set of surviving blocks) does during a phase.
enum class PhaseKind {
  kDense,     // Every block is live.
  kSparsify,  // Sparsity rises; blocks leave one by one and none returns before the phase ends.
  kSparse,    // The support is frozen at its final size.
};

// "dense", "sparsification" or "sparse": the words of reports and of a job's progress.
absl::string_view PhaseKindName(PhaseKind kind);

// A phase as a share of the run; the shares of a plan are relative and need not add up to 1.
struct PhaseShare {
  PhaseKind kind = PhaseKind::kDense;
  double share = 0;
};

// A phase of a run: the steps [begin, begin + length).
struct Phase {
  PhaseKind kind = PhaseKind::kDense;
  int64_t begin = 0;
  int64_t length = 0;
  int64_t end() const { return begin + length; }
};

// Where a step lies within its phase.
struct PhasePosition {
  int index = 0;       // Into PhasePlan::phases().
  Phase phase;         // A copy.
  bool first = false;  // The step enters the phase.
  double t = 0;        // (step - begin + 1) / length: in (0, 1], 1 at the last step.
};

// The phases of a run, in order and without gaps; one made by default has none and no step.
// Immutable, thread-safe.
class PhasePlan {
 public:
  // Cuts [0, total_steps) in phases in proportion to `shares`. Boundaries are the rounded cumulated
  // shares, so that errors do not add up; phases that come out empty are left out, unless the run
  // would then lose its last phase of kind sparsify or sparse, which get at least one step.
  // INVALID_ARGUMENT when total_steps < 1, there are no shares, one is negative or not finite, or
  // all are 0.
  static absl::StatusOr<PhasePlan> Create(const std::vector<PhaseShare>& shares,
                                          int64_t total_steps);

  const std::vector<Phase>& phases() const { return phases_; }
  int64_t total_steps() const { return phases_.empty() ? 0 : phases_.back().end(); }

  // `step` in [0, total_steps()).
  PhasePosition At(int64_t step) const;

 private:
  std::vector<Phase> phases_;
};

// Phase plans by name:
//   "single"          20 % dense, 50 % sparsify, 30 % sparse. The default: as good as many cycles
//                     in short runs.
//   "paper_imagenet"  10 % dense; 6 cycles of sparsify, sparse, dense in equal parts, 10 % each;
//                     15 % sparsify; 15 % sparse (arXiv 2402.17902, ImageNet; the schedule of AC/DC
//                     with sparsification phases).
//   "paper_criteo"    20 % dense; 10 cycles of sparsify, sparse, dense in equal parts, 6 % each;
//                     20 % sparse (same paper, Criteo).
//   "ac_dc_imagenet"  10 % dense; 6 cycles of sparse and dense, 5 % each; 5 % sparse; 10 % dense;
//                     15 % sparse (Peste et al., 2021, ResNet50 on ImageNet).
//   "ac_dc_cifar10"   5 % dense; 4 cycles of sparse and dense, 10 % each; 15 % sparse (same paper,
//                     ResNet20 on CIFAR-10).
// INVALID_ARGUMENT, naming the presets, for another name.
absl::StatusOr<std::vector<PhaseShare>> PhasePreset(absl::string_view name);

// Dense training, one cut at part `at` of the run, then training of what is left. INVALID_ARGUMENT,
// naming `field`, unless `at` lies in [0, 1).
absl::StatusOr<std::vector<PhaseShare>> OneShotPhases(double at, absl::string_view field);

// Dense to part `begin` of the run, sparsification to `end`, then sparse. INVALID_ARGUMENT, naming
// the fields begin_fraction and end_fraction of `message`, unless 0 <= begin < end <= 1.
absl::StatusOr<std::vector<PhaseShare>> GradualPhases(double begin, double end,
                                                      absl::string_view message);

// The plan of GradualPhases() over a run of `total_steps`, for methods that choose by what they saw
// in steps before: INVALID_ARGUMENT too where no step comes before the first choice.
absl::StatusOr<PhasePlan> GradualPlanAfterSteps(double begin, double end, absl::string_view message,
                                                int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_PHASES_H_
