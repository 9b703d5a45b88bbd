#include "worker/pipeline/accuracy_bound.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

constexpr double kRounding = 1e-9;

double ValueOf(const MetricValues& metrics, const std::string& metric) {
  const auto found = metrics.find(metric);
  return found == metrics.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

bool LessIsBetter(MetricSpec metric) {
  return metric == MetricSpec::kLogLoss || metric == MetricSpec::kMeanSquaredError;
}

}  // namespace

AccuracyBound::AccuracyBound(const AccuracyBoundSpec& spec, const MetricValues& given,
                             const MetricValues& dense)
    : spec_(spec), metric_(MetricName(spec.metric)), sign_(LessIsBetter(spec.metric) ? -1 : 1) {
  switch (spec.reference) {
    case AccuracyBoundSpec::Reference::kNone:
      limit_ = spec.limit;
      return;
    case AccuracyBoundSpec::Reference::kGiven:
      reference_ = ValueOf(given, metric_);
      break;
    case AccuracyBoundSpec::Reference::kDense:
      reference_ = ValueOf(dense, metric_);
      break;
  }
  limit_ = reference_ - sign_ * spec.limit;
  if (std::isfinite(limit_)) slack_ = kRounding * std::max(1.0, std::abs(reference_));
}

bool AccuracyBound::IsMetBy(const MetricValues& metrics) const {
  return sign_ * ValueOf(metrics, metric_) >= sign_ * limit_ - slack_;
}

bool AccuracyBound::Prefers(const KeptModel& candidate,
                            const std::optional<KeptModel>& kept) const {
  if (!(candidate.sparsity > 0) || !IsMetBy(candidate.metrics)) return false;
  if (!kept.has_value()) return true;
  if (candidate.sparsity != kept->sparsity) return candidate.sparsity > kept->sparsity;
  return sign_ * ValueOf(candidate.metrics, metric_) > sign_ * ValueOf(kept->metrics, metric_);
}

std::string AccuracyBound::Described() const {
  std::string text = absl::StrCat(metric_, " of at ", sign_ > 0 ? "least " : "most ", limit_);
  if (spec_.reference == AccuracyBoundSpec::Reference::kNone) return text;
  const bool given = spec_.reference == AccuracyBoundSpec::Reference::kGiven;
  return absl::StrCat(text, ": ", reference_, " of the ", given ? "model as given" : "dense model",
                      sign_ > 0 ? ", less " : ", and ", spec_.limit);
}

AccuracyBoundReport AccuracyBound::Report() const {
  AccuracyBoundReport report;
  report.metric = metric_;
  report.limit = limit_;
  report.less_is_better = sign_ < 0;
  if (spec_.reference == AccuracyBoundSpec::Reference::kNone) return report;
  report.reference = spec_.reference == AccuracyBoundSpec::Reference::kGiven ? "given" : "dense";
  report.max_drop = spec_.limit;
  return report;
}

std::optional<AccuracyBound> BoundOf(const JobSpec& spec, const JobRecord& record) {
  if (!spec.target.has_value() || !spec.target->accuracy_bound.has_value()) return std::nullopt;
  return std::optional<AccuracyBound>(std::in_place, *spec.target->accuracy_bound,
                                      record.given_metrics,
                                      record.dense_metrics.value_or(MetricValues()));
}

}  // namespace topiary
