// Candidates for pruning that are more than a block of one weight: a channel with all that reads
// it, a head of attention, a residual branch.
#ifndef TOPIARY_WORKER_PRUNE_CANDIDATE_GROUP_H_
#define TOPIARY_WORKER_PRUNE_CANDIDATE_GROUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "worker/kernels/op_description.h"

namespace topiary {

// The elements that the candidates of a group have in one weight.
struct CandidatePart {
  std::string weight;    // Name of the initializer.
  int64_t elements = 0;  // Of the whole weight, those of no candidate too.
  // `block` is the candidate. Sorted by offset; no element twice.
  std::vector<BlockRun> runs;
  // Whether its elements are among those that a sparsity is a part of: not those of biases and of
  // normalization.
  bool counted = true;
};

// Candidates that are chosen among each other, as the channels that one layer makes.
//
// A candidate's scale multiplies its elements of the `scaled` parts: of the weights that read a
// channel, or the last that a branch ends with. That is the same as multiplying the channel, or
// what the branch adds, so that a scale of 0 cuts the candidate off. The `coupled` parts are the
// elements that are of no use then, as those that make a channel; training does not scale them,
// magnitudes count them, and they are zeroed once training is over.
//
// Immutable, so thread-safe.
class CandidateGroup {
 public:
  // `candidate_names` is empty or has one for each.
  CandidateGroup(std::string name, int64_t count, std::vector<CandidatePart> scaled,
                 std::vector<CandidatePart> coupled, std::vector<std::string> candidate_names = {});

  // Of a weight that makes the candidates, or of the kind of candidate. Unique in a job.
  const std::string& name() const { return name_; }
  // Of candidates.
  int64_t count() const { return count_; }
  // Empty where candidates are only numbered.
  const std::vector<std::string>& candidate_names() const { return candidate_names_; }
  // Every candidate has elements in one of them. No weight occurs twice.
  absl::Span<const CandidatePart> scaled() const { return scaled_; }
  // A weight may be among the scaled parts too, with other elements or with the same.
  absl::Span<const CandidatePart> coupled() const { return coupled_; }

 private:
  std::string name_;
  int64_t count_;
  std::vector<CandidatePart> scaled_;
  std::vector<CandidatePart> coupled_;
  std::vector<std::string> candidate_names_;
};

// The candidate of each element of the weight of `part`, as stored; -1 of those of none.
std::vector<int32_t> CandidateOfEach(const CandidatePart& part);

// Adds the squares of each candidate's elements of `part` to `sums`, in double in the order of the
// runs. `weight` is the whole weight as stored.
void AddSumsOfSquares(const CandidatePart& part, absl::Span<const float> weight,
                      absl::Span<double> sums);

// Sets the elements of `part` whose candidate has 0 in `kept` to +0.
void ZeroPruned(const CandidatePart& part, absl::Span<const uint8_t> kept,
                absl::Span<float> weight);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_CANDIDATE_GROUP_H_
