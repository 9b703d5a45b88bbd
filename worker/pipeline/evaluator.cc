#include "worker/pipeline/evaluator.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "worker/pipeline/batch_feed.h"

namespace topiary {
namespace {

constexpr int64_t kLargestBatch = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<Evaluator>> Evaluator::Create(const Graph& graph,
                                                             ParameterStore* store,
                                                             Backend* backend, const Dataset& data,
                                                             const TaskSpec& task) {
  auto evaluator = std::unique_ptr<Evaluator>(new Evaluator());
  evaluator->data_ = &data;
  evaluator->metrics_ = MetricsOrDefaults(task.metrics, task.loss);
  ProgramOptions options;
  options.batch = std::min(data.size(), std::min(task.batch_size, kLargestBatch));
  options.mode = ProgramMode::kInference;
  options.loss = LossKindOf(task.loss);
  ASSIGN_OR_RETURN(evaluator->program_, Program::Build(graph, store, backend, options));
  RETURN_IF_ERROR(CheckOutputPerExample(graph, *evaluator->program_));
  LoaderOptions loader;
  loader.batch_size = options.batch;
  loader.shuffle = false;
  loader.drop_remainder = false;
  ASSIGN_OR_RETURN(evaluator->loader_, Loader::Create(data, loader));
  return evaluator;
}

absl::Status Evaluator::ForEachBatch(const std::function<absl::Status()>& check,
                                     const std::function<void(int64_t rows)>& visit) {
  loader_->Seek(0, 0);
  for (int64_t i = 0; i < loader_->batches_per_epoch(); ++i) {
    RETURN_IF_ERROR(check());
    const Batch& batch = loader_->Next();
    FeedBatch(batch, *program_);
    program_->Forward();
    visit(batch.size);
  }
  return absl::OkStatus();
}

absl::StatusOr<MetricValues> Evaluator::Evaluate(const std::function<absl::Status()>& check) {
  std::vector<std::unique_ptr<Metric>> metrics;
  for (const MetricSpec metric : metrics_) metrics.push_back(NewMetricOf(metric));
  const StagedTensor& output = program_->output(0);
  const StagedTensor& labels = program_->labels();
  Predictions predictions;
  predictions.outputs = static_cast<const float*>(output.data);
  predictions.kind = program_->output_kind();
  int64_t positions = 1;  // Of an example: each position of a sequence is predicted by itself.
  if (labels.dtype == DType::kFloat32) {
    predictions.targets = static_cast<const float*>(labels.data);
  } else {
    predictions.labels = static_cast<const int32_t*>(labels.data);
    positions = labels.shape.element_count() / output.shape[0];
  }
  predictions.columns = output.shape.element_count() / output.shape[0] / positions;
  RETURN_IF_ERROR(ForEachBatch(check, [&](int64_t rows) {
    predictions.rows = rows * positions;
    for (const auto& metric : metrics) metric->Add(predictions);
  }));
  MetricValues values;
  for (size_t i = 0; i < metrics.size(); ++i) {
    values[std::string(MetricName(metrics_[i]))] = metrics[i]->Value();
  }
  return values;
}

absl::StatusOr<Tensor> Evaluator::Predict(const std::function<absl::Status()>& check) {
  const StagedTensor& output = program_->output(0);
  Tensor predictions(DType::kFloat32, output.shape.WithDim(0, data_->size()));
  const int64_t columns = output.shape.element_count() / output.shape[0];
  float* next = predictions.data<float>();
  RETURN_IF_ERROR(ForEachBatch(check, [&](int64_t rows) {
    std::memcpy(next, output.data, static_cast<size_t>(rows * columns) * sizeof(float));
    next += rows * columns;
  }));
  return predictions;
}

}  // namespace topiary
