// A job that selects features: what its two trainings are, and the network between them.
#ifndef TOPIARY_WORKER_PIPELINE_FEATURE_SELECTION_H_
#define TOPIARY_WORKER_PIPELINE_FEATURE_SELECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/export/report.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"
#include "worker/model/graph.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/prepared_data.h"

namespace topiary {

// The features of `graph`, in the groups of `spec`. Errors as FindFeatures(), and INVALID_ARGUMENT
// where training does not change the first layer's weight or a group names no input.
absl::StatusOr<FeatureLayer> FindFeaturesFor(const FeatureSelectionSpec& spec, const Graph& graph);

// The task of the training that selects: the same but for its length, and at a constant learning
// rate after the warm-up, since the phases of a selection are to be alike.
TaskSpec SelectionTask(const JobSpec& spec);

// Of a job whose selector trains. Errors as NewFeatureSelector().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSelectorFor(const JobSpec& spec,
                                                                const FeatureLayer& features,
                                                                int64_t total_steps);

// Of a job whose selector does not train. `check` is asked between pieces of work. Errors as
// SelectWithoutTraining().
absl::StatusOr<std::vector<ChosenFeature>> SelectFor(const JobSpec& spec,
                                                     const FeatureLayer& features,
                                                     const PreparedData& data,
                                                     const std::function<absl::Status()>& check);

// For a dry run: as many features as the job will choose, drawn by chance.
absl::StatusOr<std::vector<ChosenFeature>> DrawFor(const JobSpec& spec,
                                                   const FeatureLayer& features);

// INVALID_ARGUMENT where `chosen`, read from a checkpoint, cannot be of this job.
absl::Status CheckChosen(const std::vector<ChosenFeature>& chosen, const JobSpec& spec,
                         const FeatureLayer& features);

// Puts a fresh network on the chosen features in place of `graph` (NarrowFeatures(),
// DrawFreshWeights()). Adds to `warnings` which parameters keep the values given.
absl::Status NarrowToChosen(const std::vector<ChosenFeature>& chosen, const FeatureLayer& features,
                            uint64_t seed, Graph* graph, std::vector<std::string>* warnings);

// `steps`: of the training that chose. `train` has names of features, if there are any.
FeatureSelectionReport DescribeSelection(const SelectionRecord& selection, const JobSpec& spec,
                                         const FeatureLayer& features, int64_t steps,
                                         const Dataset& train);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_FEATURE_SELECTION_H_
