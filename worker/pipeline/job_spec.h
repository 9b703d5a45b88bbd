// What a job is to do, in plain structs: the mirror of proto CompressionSpec below the agent's
// door, with every default filled in and files on the local disk instead of digests. The agent
// has checked ranges; what depends on the model or the data is checked by the pipeline.
#ifndef TOPIARY_WORKER_PIPELINE_JOB_SPEC_H_
#define TOPIARY_WORKER_PIPELINE_JOB_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "worker/features/selector_registry.h"
#include "worker/prune/budget.h"
#include "worker/prune/method_registry.h"
#include "worker/prune/n_of_m.h"
#include "worker/prune/structure.h"

namespace topiary {

// --- Data -------------------------------------------------------------------------------------

struct NpzSourceSpec {
  std::string path;
  std::string input_array = "x";
  std::string label_array = "y";
};

struct IdxSourceSpec {
  std::string images_path;
  std::string labels_path;
};

struct CsvColumnSpec {
  enum class Role { kFeature, kLabel, kIgnore };
  std::variant<std::string, int> column;  // By name in the header, or by index from 0.
  Role role = Role::kFeature;
};

struct CsvSourceSpec {
  std::string path;
  bool header = true;
  char delimiter = ',';
  // Columns that are not named are features; without a label here the last column is the label.
  std::vector<CsvColumnSpec> columns;
};

using DataSourceSpec = std::variant<NpzSourceSpec, IdxSourceSpec, CsvSourceSpec>;

// x becomes (x / divide_by - mean) / standard_deviation.
struct NormalizationSpec {
  enum class Kind { kNone, kGiven, kFitted };
  enum class Axis { kAll, kChannel, kFeature };
  Kind kind = Kind::kNone;
  std::vector<double> mean;                // kGiven: one, one per channel, or one per feature.
  std::vector<double> standard_deviation;  // As many as `mean`.
  Axis axis = Axis::kAll;                  // kFitted.
};

struct DataSpec {
  DataSourceSpec train;
  std::optional<DataSourceSpec> evaluation;  // Absent: a part of `train` is held out.
  double validation_fraction = 0.1;
  double divide_by = 1;
  NormalizationSpec normalization;
};

// --- Task -------------------------------------------------------------------------------------

enum class LossSpec { kCrossEntropy, kBinaryCrossEntropy, kMeanSquaredError };

// Of dense products and convolutions.
enum class PrecisionSpec { kFloat32, kBfloat16 };

enum class MetricSpec { kAccuracy, kTop5Accuracy, kLogLoss, kAuc, kMeanSquaredError, kR2 };

struct OptimizerSpec {
  enum class Kind { kSgd, kAdam, kAdamW };
  Kind kind = Kind::kSgd;
  double momentum = 0.9;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
};

struct LearningRateSpec {
  enum class Schedule { kConstant, kStep, kCosine, kLinear };
  double base = 0.05;
  int64_t warmup_steps = 0;
  Schedule schedule = Schedule::kCosine;
  double step_factor = 0.1;             // kStep.
  std::vector<double> step_milestones;  // kStep: parts of all steps, rising.
  double final_fraction = 0;            // kCosine, kLinear.
};

// Learning from the model as given besides: see proto Distillation.
struct DistillationSpec {
  double weight = 0.5;
  double temperature = 4;
  struct Feature {
    std::string value;
    double weight = 1;
  };
  std::vector<Feature> features;
};

struct TaskSpec {
  LossSpec loss = LossSpec::kCrossEntropy;
  OptimizerSpec optimizer;
  LearningRateSpec learning_rate;
  std::optional<double> clip_gradient_norm;
  int64_t batch_size = 128;
  // Exactly one of the two is above 0; neither where nothing is trained: with EvaluateSpec, and
  // where a method that prunes by calibration is not to train afterwards.
  int64_t epochs = 10;
  int64_t steps = 0;
  uint64_t seed = 0;
  std::vector<MetricSpec> metrics;
  PrecisionSpec precision = PrecisionSpec::kFloat32;
  std::optional<DistillationSpec> distillation;
};

// --- Method -----------------------------------------------------------------------------------

struct EvaluateSpec {
  bool return_predictions = false;
};

// Data and task are not read.
struct BenchmarkSpec {};

// Elements of one input of the model, counted in their order in memory, chosen together.
struct FeatureGroupSpec {
  std::string name;
  std::string input;  // Empty: the only one.
  std::vector<int64_t> columns;
};

// Chooses `count` features, then trains a fresh network on them.
struct FeatureSelectionSpec {
  int64_t count = 0;
  SelectorOptions selector = SequentialAttentionOptions();
  // Of the selection, where its selector trains; both 0: as long as the task.
  int64_t epochs = 0;
  int64_t steps = 0;
  std::vector<FeatureGroupSpec> groups;  // Elements in none are features of their own.
};

using MethodSpec = std::variant<MethodOptions, EvaluateSpec, BenchmarkSpec, FeatureSelectionSpec>;

// A forward pass of the pruned model takes `ratio` of the time that it takes dense.
struct LatencyBudgetSpec {
  double ratio = 1;  // (0, 1).
  int64_t batch = 1;
};

// See proto Rewind.
struct RewindSpec {
  double to_fraction = 0.05;  // [0, 1).
  bool weights = true;
  bool learning_rate = true;
};

// The pruned model has at most so many parameters, bytes or operations: exactly one of `ratio`, of
// the dense model and in (0, 1), and `count`, above 0, is given.
struct SizeBudgetSpec {
  enum class Amount { kParameters, kBytes, kFlops };
  Amount amount = Amount::kParameters;
  std::optional<double> ratio;
  int64_t count = 0;
};

// What BudgetKind::kSensitivity measures.
struct SensitivitySpec {
  int64_t examples = 1024;  // At most.
  std::vector<double> sparsities = {0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98};
};

// A bound on a metric of the exported model.
struct AccuracyBoundSpec {
  enum class Reference {
    kNone,   // The metric is at least `limit` (or at most, where less is better).
    kGiven,  // It is no worse than that of the model as given, or
    kDense,  // of the dense comparison, by more than `limit`.
  };
  MetricSpec metric = MetricSpec::kAccuracy;  // One of the task's.
  Reference reference = Reference::kNone;
  double limit = 0;
};

struct PruningTargetSpec {
  double sparsity = 0;  // (0, 1); not read where there is one of the next two.
  std::optional<LatencyBudgetSpec> latency;
  std::optional<SizeBudgetSpec> size;
  // `sparsity` is then what that comes to, and blocks are 1 x 1.
  std::optional<NOfM> n_of_m;
  int64_t block_rows = 16;
  int64_t block_cols = 16;
  BudgetKind budget = BudgetKind::kUniform;
  SensitivitySpec sensitivity;
  std::optional<AccuracyBoundSpec> accuracy_bound;
  std::vector<std::string> include_layers;  // "*" and "?" patterns.
  std::vector<std::string> exclude_layers;
  std::vector<LayerTarget> layer_targets;
  int64_t min_blocks = 100;
  std::optional<Structure> structure;  // In place of blocks.
  int64_t min_candidates = 2;
  int64_t protect_first = 1;  // Of branches and transformer layers.
  int64_t protect_last = 1;
  int64_t batch_norm_batches = 100;
  std::optional<RewindSpec> rewind;
};

// --- The whole --------------------------------------------------------------------------------

struct OutputsSpec {
  bool onnx = true;
  bool block_sparse = true;
  bool keep_checkpoint = false;
  bool train_dense_comparison = false;
  // Batches at which the model that the job leaves behind (evaluates: is given) is timed. Empty:
  // it is not.
  std::vector<int64_t> latency_batches;
};

struct JobSpec {
  // Only load and plan, and report what would be done.
  bool dry_run = false;
  // The main .onnx file (benchmark: or .safetensors file); its external data files lie beside it in
  // the same folder.
  std::string model_path;
  DataSpec data;
  TaskSpec task;
  MethodSpec method = SequentialAttentionPlusPlusOptions();
  std::optional<PruningTargetSpec> target;
  OutputsSpec outputs;
  // Of the attempt; resolved, never 0.
  int threads = 1;
  // 0: no limit. A job that would need more fails with RESOURCE_EXHAUSTED before it trains.
  int64_t memory_limit_bytes = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_JOB_SPEC_H_
