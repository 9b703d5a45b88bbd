#ifndef TOPIARY_WORKER_PIPELINE_EVALUATOR_H_
#define TOPIARY_WORKER_PIPELINE_EVALUATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/data/loader.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/model/graph.h"
#include "worker/pipeline/job_spec.h"
#include "worker/pipeline/task.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// Measures the weights in a store on a data set, in inference mode, as often as asked.
// One thread at a time.
class Evaluator {
 public:
  // `store`, `backend` and `data` outlive it. Errors as Program::Build().
  static absl::StatusOr<std::unique_ptr<Evaluator>> Create(const Graph& graph,
                                                           ParameterStore* store, Backend* backend,
                                                           const Dataset& data,
                                                           const TaskSpec& task);

  // The metrics of the task over all examples, in the data's order. `check` is asked between
  // batches; an error from it ends the evaluation. Undefined metrics (AUC of one class) are NaN.
  absl::StatusOr<MetricValues> Evaluate(const std::function<absl::Status()>& check);

  // The model's output for every example: float32, axis 0 over the examples.
  absl::StatusOr<Tensor> Predict(const std::function<absl::Status()>& check);

  const Program& program() const { return *program_; }

 private:
  Evaluator() = default;
  // Calls visit(rows of the batch) after each forward pass.
  absl::Status ForEachBatch(const std::function<absl::Status()>& check,
                            const std::function<void(int64_t rows)>& visit);

  const Dataset* data_ = nullptr;
  std::vector<MetricSpec> metrics_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<Loader> loader_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_EVALUATOR_H_
