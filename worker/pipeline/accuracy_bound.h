// What a job's accuracy bound asks of a model, and which of the models on the way is kept for it.
#ifndef TOPIARY_WORKER_PIPELINE_ACCURACY_BOUND_H_
#define TOPIARY_WORKER_PIPELINE_ACCURACY_BOUND_H_

#include <optional>
#include <string>

#include "worker/export/report.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/task.h"

namespace topiary {

// Immutable, so thread-safe.
class AccuracyBound {
 public:
  // `given` are the metrics of the model as given, `dense` those of the dense comparison.
  AccuracyBound(const AccuracyBoundSpec& spec, const MetricValues& given,
                const MetricValues& dense);

  // Whether a model with these metrics is good enough; one whose metric is not a number never is,
  // and none is where the reference's is not. A model that falls behind the reference by just what
  // is allowed is: a difference of two decimal fractions is only known to a rounding, so what is
  // within 1e-9 of the limit (of the reference, where that is more than 1) counts as at it.
  bool IsMetBy(const MetricValues& metrics) const;

  // Whether `candidate` takes the place of `kept`: it is pruned, meets the bound, and is sparser,
  // or as sparse and better.
  bool Prefers(const KeptModel& candidate, const std::optional<KeptModel>& kept) const;

  // "accuracy of at least 0.9: 0.92 of the model as given, less 0.02".
  std::string Described() const;

  // Metric and limit.
  AccuracyBoundReport Report() const;

 private:
  const AccuracyBoundSpec spec_;
  const std::string metric_;
  double sign_ = 1;       // Times the metric: more is better.
  double reference_ = 0;  // What the metric is of the reference, where there is one.
  double limit_ = 0;      // What the metric must be at the least, or at most,
  double slack_ = 0;      // but for so much.
};

// Of the target of `spec`, held against what `record` has measured; none where there is none.
std::optional<AccuracyBound> BoundOf(const JobSpec& spec, const JobRecord& record);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_ACCURACY_BOUND_H_
