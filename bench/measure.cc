#include "bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "common/check.h"
#include "common/status_macros.h"

namespace topiary {

double Median(std::vector<double> values) {
  CHECK(!values.empty());
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double RelativeSpread(std::vector<double> values) {
  const double median = Median(values);
  std::sort(values.begin(), values.end());
  const double last = static_cast<double>(values.size() - 1);
  const double lower = values[static_cast<size_t>(std::lround(last / 4))];
  const double upper = values[static_cast<size_t>(std::lround(last * 3 / 4))];
  return (upper - lower) / median;
}

absl::StatusOr<Comparison> Compare(int pairs, const TimedSide& ours, const TimedSide& theirs) {
  std::vector<double> a, b, ratios;
  for (int i = 0; i < pairs; ++i) {
    ASSIGN_OR_RETURN(const double our_seconds, ours());
    ASSIGN_OR_RETURN(const double their_seconds, theirs());
    a.push_back(our_seconds);
    b.push_back(their_seconds);
    ratios.push_back(their_seconds / our_seconds);
  }
  return Comparison{Median(a), Median(b), Median(ratios), RelativeSpread(ratios)};
}

double SecondsPerStep(int count, const std::function<void()>& step) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) step();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / count;
}

int StepsFor(double seconds, const std::function<void()>& step) {
  step();  // Warm.
  const double once = SecondsPerStep(3, step);
  return std::max(1, static_cast<int>(seconds / std::max(once, 1e-9)));
}

TimedSide TimedCalls(int warm_ups, double seconds, std::function<void()> step) {
  for (int i = 0; i < warm_ups; ++i) step();
  const int count = StepsFor(seconds, step);
  return [step = std::move(step), count]() -> absl::StatusOr<double> {
    return SecondsPerStep(count, step);
  };
}

double RelativeDifference(const float* actual, absl::Span<const float> expected) {
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max<double>(largest, std::fabs(expected[i]));
    const double difference = std::fabs(actual[i] - expected[i]);
    if (!std::isnan(error) && !(difference <= error)) error = difference;  // NaN counts.
  }
  return error == 0 ? 0 : error / largest;
}

}  // namespace topiary
