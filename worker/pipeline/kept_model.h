#ifndef TOPIARY_WORKER_PIPELINE_KEPT_MODEL_H_
#define TOPIARY_WORKER_PIPELINE_KEPT_MODEL_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/engine/parameter_store.h"
#include "worker/export/report.h"
#include "worker/pipeline/accuracy_bound.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/finished_model.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/prune/method.h"

namespace topiary {

// What an accuracy bound came to.
struct BoundOutcome {
  AccuracyBoundReport report;
  bool is_kept = false;  // The model kept has taken the place of that which training ended with.
  std::string missed;    // Why the job fails: no model meets the bound. Empty: one does.
  // That training diverged, and that the model kept is less sparse than where training ended.
  std::vector<std::string> warnings;
};

// Where `last`, the model that training ended with, does not meet the bound, puts `kept`, which
// does, in its place: in `store`, and with its supports in `pruned` and `groups`. `diverged`: why
// training has ended with no model; then `last` has no metrics, and it is an error of this status
// that there is none in `kept`. INVALID_ARGUMENT where `kept` is not of a model of `method`, over
// the same layers.
absl::StatusOr<BoundOutcome> KeepWithinBound(const AccuracyBound& bound,
                                             const absl::Status& diverged, const KeptModel& last,
                                             const std::optional<KeptModel>& kept,
                                             const Method& method, ParameterStore* store,
                                             std::vector<PrunedWeight>* pruned,
                                             std::vector<PrunedGroup>* groups);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_KEPT_MODEL_H_
