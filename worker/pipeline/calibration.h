// Prunes a trained network by calibration examples, layer by layer, before any training.
#ifndef TOPIARY_WORKER_PIPELINE_CALIBRATION_H_
#define TOPIARY_WORKER_PIPELINE_CALIBRATION_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/kernels/backend.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/prune/support.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// By name; raw, as stored.
using CalibratedWeights = std::map<std::string, Tensor>;

// What is left of the layers, or of the groups of candidates, that a job has chosen, in the order
// of its choices.
struct Calibration {
  std::vector<Support> supports;
  CalibratedWeights weights;  // New ones, +0 in pruned blocks.
};

// Of a job whose method Calibrates(). For each layer that `job` has chosen, or each group, by the
// matrices that read its candidates, in the order of the graph: runs the network, in which the
// layers before are already pruned, on examples of the training set drawn by the job's seed (whole
// batches of them), up to what the layer reads, in inference mode; sums the moments that the method
// needs; and prunes the layer. Layers that read the same share their moments.
//
// A function of spec, data and the backend's determinism key (`backend` is of float32): it can be
// done again after a lost worker. `check` as in Evaluator.
// FAILED_PRECONDITION, naming the layer, where activations are not finite; errors as
// InputMoments::Create(), PruneLayer() and Program::Build().
absl::StatusOr<Calibration> PruneByCalibration(const JobSpec& spec, const LoadedJob& job,
                                               Backend* backend,
                                               const std::function<absl::Status()>& check);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_CALIBRATION_H_
