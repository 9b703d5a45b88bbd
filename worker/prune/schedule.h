#ifndef TOPIARY_WORKER_PRUNE_SCHEDULE_H_
#define TOPIARY_WORKER_PRUNE_SCHEDULE_H_

// Sparsity as a function of progress. Pure functions; thread-safe.

#include <cstdint>

namespace topiary {

// Fraction of blocks to be zero at progress `t`, rising from `initial_sparsity` to
// `final_sparsity` along the cubic of Zhu & Gupta, "To prune, or not to prune" (2017):
//   s_f + (s_i - s_f) (1 - t)^3.
// Both sparsities lie in [0, 1]; `t` is clamped to [0, 1].
double CubicSparsity(double initial_sparsity, double final_sparsity, double t);

// Fraction of blocks to be zero in round r = ceil(rounds * t) of `rounds` >= 1, each of which
// prunes the same part of what the one before left (iterative pruning; Frankle & Carbin, "The
// Lottery Ticket Hypothesis", 2019, section 1):
//   1 - (1 - s)^(r / rounds).
// `final_sparsity` lies in [0, 1]; `t` is clamped to [0, 1]; 0 at t = 0.
double IterativeSparsity(double final_sparsity, int64_t rounds, double t);

// Fraction of blocks to be zero at progress `t`, rising from 0 to `final_sparsity` fast at first
// and carefully at the end (SequentialAttention++, arXiv 2402.17902, sparsification phase):
//   s (1 - exp(-c t)) / (1 - exp(-c)).
// `final_sparsity` lies in [0, 1]; `t` is clamped to [0, 1]; `c` > 0 is the paper's constant, 4
// there. As c goes to 0 the curve becomes the straight line s t, which is what c = 0 gives.
double ExponentialSparsity(double final_sparsity, double c, double t);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_SCHEDULE_H_
