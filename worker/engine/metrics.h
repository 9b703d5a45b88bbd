// Quality of predictions, accumulated batch by batch.
#ifndef TOPIARY_WORKER_ENGINE_METRICS_H_
#define TOPIARY_WORKER_ENGINE_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/engine/program.h"

namespace topiary {

// Predictions of `columns` numbers each for `rows` examples, or positions of sequences one after
// the other; row-major on the host. Rows of a batch that are only padding are left out by passing
// fewer rows.
struct Predictions {
  const float* outputs = nullptr;
  OutputKind kind = OutputKind::kLogits;
  int64_t rows = 0;
  int64_t columns = 0;
  // Class of each row in [0, columns), or in {0, 1} where columns is 1. Null for targets.
  const int32_t* labels = nullptr;
  // [rows, columns]. Null for labels. Binary targets count as class 1 from 0.5 on.
  const float* targets = nullptr;
};

// Sums are kept in double, in the order of the rows. Thread-compatible.
class Metric {
 public:
  virtual ~Metric() = default;
  virtual absl::string_view name() const = 0;
  virtual void Add(const Predictions& predictions) = 0;
  // Over everything added since the last Reset(); NaN where that is undefined (no
  // rows; AUC without both classes; R2 of constant targets).
  virtual double Value() const = 0;
  virtual void Reset() = 0;
};

// INVALID_ARGUMENT, listing the names, for another name.
//   accuracy  fraction of rows whose largest output (the first of equals) is the label; for one
//             column, whose probability is >= 0.5 exactly where the label is 1
//   top_5     fraction of rows whose label is among the 5 largest outputs: fewer than 5 are larger
//   log_loss  mean of -log p(label), p clipped to [1e-15, 1 - 1e-15] where outputs are
//             probabilities; for several columns with targets, the mean over all elements of the
//             binary one
//   auc       exact area under the ROC curve of the last column (columns 1 or 2), ties count half;
//             keeps one float and one bit per row
//   mse       mean over all elements of (output - target)^2
//   r2        1 - residual sum of squares / total sum of squares, over all elements of a column,
//             mean over the columns
absl::StatusOr<std::unique_ptr<Metric>> NewMetric(absl::string_view name);

// The names NewMetric() knows, in the order above.
const std::vector<std::string>& MetricNames();

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_METRICS_H_
