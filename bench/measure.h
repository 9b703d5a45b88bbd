// Times two sides of a comparison in turns.
#ifndef TOPIARY_BENCH_MEASURE_H_
#define TOPIARY_BENCH_MEASURE_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace topiary {

// Of at least one value; the mean of the middle two of an even number.
double Median(std::vector<double> values);

// Upper minus lower quartile (nearest ranks), over the median: how far the middle half is spread.
double RelativeSpread(std::vector<double> values);

// One comparison. Ratios above 1 are in our favour.
struct Comparison {
  double ours = 0;    // Median seconds.
  double theirs = 0;  // Median seconds.
  double ratio = 0;   // Median over the pairs of theirs / ours.
  double spread = 0;  // Of the ratios of the pairs.
};

// Seconds that one step of a side takes.
using TimedSide = std::function<absl::StatusOr<double>()>;

// Times `pairs` pairs (>= 1), the sides in turns, so that what else the machine does meets both.
absl::StatusOr<Comparison> Compare(int pairs, const TimedSide& ours, const TimedSide& theirs);

// Mean seconds of one of `count` calls of `step`.
double SecondsPerStep(int count, const std::function<void()>& step);

// Calls `step` `warm_ups` times; a side of as many calls as take about `seconds`.
TimedSide TimedCalls(int warm_ups, double seconds, std::function<void()> step);

// The largest difference over the largest of `expected`; NaN where a number of either is NaN.
double RelativeDifference(const float* actual, absl::Span<const float> expected);

// How many calls of `step` take about `seconds`; at least 1.
int StepsFor(double seconds, const std::function<void()>& step);

}  // namespace topiary

#endif  // TOPIARY_BENCH_MEASURE_H_
