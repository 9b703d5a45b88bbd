// The JSON report of a job: everything that was measured.
#ifndef TOPIARY_WORKER_EXPORT_REPORT_H_
#define TOPIARY_WORKER_EXPORT_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "worker/tensor/shape.h"

namespace topiary {

// One weight of a Gemm, MatMul or Conv, or an embedding table where tables are pruned.
struct LayerReport {
  std::string name;
  std::string node;
  std::string kind;
  Shape shape;
  int64_t groups = 1;
  int64_t rows = 0;  // Along K.
  int64_t cols = 0;  // Along the outputs.
  int64_t elements = 0;
  int64_t zero_elements = 0;
  // Of the layer's partition; 0 where nothing was to be pruned at all (dense, evaluate), or no
  // blocks but a structure.
  int64_t blocks_total = 0;
  int64_t blocks_live = 0;
  bool pruned = false;
  // Part of the layer's blocks that was to be zero. None for a layer that stays dense, and with
  // budget "global", where only the sparsity of all layers together is asked for.
  std::optional<double> sparsity_requested;
  std::string dense_reason;  // Why it is not pruned.
  // From which training leaves out pruned blocks; 1: none is enough. Pruned layers only.
  std::optional<double> training_break_even_sparsity;
  int64_t dense_bytes = 0;
  int64_t stored_bytes = 0;  // In the block-compressed file: values and indices.
  // Operations of one example (model/flops.h), without pruning and with it; pruning jobs only.
  std::optional<std::pair<int64_t, int64_t>> flops;

  // The loss when this layer alone is pruned so far, by rising sparsity; where layers share by it.
  struct SensitivityPoint {
    double sparsity = 0;
    double loss = 0;
  };
  std::vector<SensitivityPoint> sensitivity;

  double sparsity() const {
    return elements == 0 ? 0 : static_cast<double>(zero_elements) / static_cast<double>(elements);
  }
};

// Candidates of a structure that are chosen among each other.
struct GroupReport {
  std::string name;
  int64_t candidates = 0;
  int64_t live = 0;
  std::vector<std::string> weights;  // That have elements of candidates.
  std::vector<std::string> pruned;   // Names of candidates, where they have some; not of a dry run.
  std::string dense_reason;          // Why none is pruned; empty: they are.
};

struct PhaseReport {
  std::string kind;
  int64_t begin = 0;  // First step, and the one after the last.
  int64_t end = 0;
};

// A measurement on the held-out examples during training.
struct HistoryEntry {
  int64_t step = 0;  // Steps done.
  double epoch = 0;
  double loss = 0;  // Mean training loss since the entry before.
  double sparsity = 0;
  std::map<std::string, double> metrics;
};

struct FileReport {
  std::string name;
  std::string kind;
  int64_t bytes = 0;
  std::string sha256;
};

// Of one forward pass, in seconds.
struct LatencyStatistics {
  double p50 = 0;  // The median, and the 95th percentile.
  double p95 = 0;
  double mean = 0;
};

// Of one node of the graph and what was fused with it, in seconds of the fastest pass.
struct NodeLatencyReport {
  std::string node;
  double dense = 0;
  std::optional<double> block_sparse;
};

// How fast the model is at one batch size, on the worker and with its threads.
struct LatencyReport {
  int64_t batch = 0;
  int64_t runs = 0;  // Of each of the two.
  LatencyStatistics dense;
  // With the pruned blocks of `sparse_weights` left out; none where no weight has enough of them.
  std::optional<LatencyStatistics> block_sparse;
  std::vector<std::string> sparse_weights;
  // Of pruned weights: the sparsity from which leaving out blocks is faster here; 1: none is
  // enough.
  std::map<std::string, double> break_even_sparsity = {};
  std::vector<NodeLatencyReport> nodes = {};  // In the order in which they run, where asked for.
  std::string warning = {};  // About pruned layers that are no faster for it; empty: none.
  // Of the narrower dense model; none where there is none.
  std::optional<LatencyStatistics> shrunk = {};
};

// The narrower dense model.
struct ShrunkReport {
  struct Tensor {
    std::string name;
    Shape before;
    Shape after;
  };
  std::string file;  // Empty where it was not left behind, as by a dry run.
  int64_t bytes = 0;
  int64_t parameters_before = 0;  // Numbers in weights, biases and statistics.
  int64_t parameters_after = 0;
  std::vector<Tensor> tensors;  // Those that lost elements.
};

// What it took; differs from run to run.
struct CostReport {
  int64_t steps = 0;
  int64_t samples = 0;
  double training_seconds = 0;  // Of all attempts whose work is in the result.
  double evaluation_seconds = 0;
  double total_seconds = 0;  // Of this attempt, from the start to the report.
  int64_t memory_estimate_bytes = 0;
  // Of a dry run: what the training would take, from some of its first steps.
  std::optional<double> training_estimate_seconds;
  double samples_per_second() const {
    return training_seconds > 0 ? static_cast<double>(samples) / training_seconds : 0;
  }
};

struct EnvironmentReport {
  std::string topiary_version;
  std::string backend;
  std::string isa;
  int threads = 0;
  std::vector<std::pair<std::string, std::string>> versions;
  std::string plan_digest;
  std::string precision;  // Of dense products and convolutions: "float32" or "bfloat16".
};

// A budget of latency.
struct LatencyBudgetReport {
  double ratio = 0;  // Of a pass of the pruned model to one of the dense model.
  int64_t batch = 0;
};

// In the amounts that budgets are given in: pipeline/model_size.h.
struct ModelSize {
  int64_t parameters = 0;
  int64_t bytes = 0;
  int64_t flops = 0;
};

// Of the model without pruning and with it; what was asked for is of one of the three amounts.
struct SizeReport {
  ModelSize dense;
  ModelSize reached;
  std::string amount;     // "parameters", "bytes" or "flops"; empty: the budget is another.
  int64_t requested = 0;  // At most so many,
  std::optional<double> requested_ratio;  // which was given as this part of the dense model.
};

// A bound on a metric, and which model of the training was exported for it.
struct AccuracyBoundReport {
  std::string metric;
  double limit = 0;  // That it must be at least; at most, where less is better.
  bool less_is_better = false;
  std::string reference;  // Whose metric `max_drop` was taken off: "given", "dense"; empty: none.
  double max_drop = 0;
  bool met = false;
  int64_t step = 0;  // Steps that the reported model had been trained for.
  // Of the model that training ended with, where the one of an earlier step is reported.
  std::optional<std::map<std::string, double>> final_metrics;
  std::optional<double> final_sparsity;
};

// A feature that a job has chosen.
struct SelectedFeatureReport {
  std::string group;  // Empty: of none.
  std::string input;  // Of the model.
  std::vector<int64_t> columns;
  std::vector<std::string> names;  // Of the columns, where the data has names.
  int64_t step = 0;                // Steps of the selection done by then.
  double score = 0;
};

struct FeatureSelectionReport {
  std::string selector;
  int64_t candidates = 0;
  bool drawn_by_chance = false;                 // In a dry run, in place of the selector's choice.
  int64_t steps = 0;                            // Of the training that chose; 0: none did.
  std::vector<SelectedFeatureReport> features;  // In the order of their choice.
  std::map<std::string, double> metrics;        // Of that training, with the chosen ones alone.
  std::vector<HistoryEntry> history;
};

struct JobReport {
  bool dry_run = false;  // Nothing was trained: which blocks are pruned was drawn by chance.
  std::string method;
  std::string loss;
  std::string optimizer;  // Empty where nothing was trained.
  uint64_t seed = 0;
  int64_t batch_size = 0;
  int64_t steps = 0;
  double epochs = 0;
  int64_t train_examples = 0;
  int64_t evaluation_examples = 0;

  std::map<std::string, double> given_metrics;
  std::map<std::string, double> dense_metrics;
  std::map<std::string, double> pruned_metrics;

  std::optional<double> sparsity_requested;
  std::optional<LatencyBudgetReport> latency_requested;  // Instead of a sparsity.
  std::optional<SizeReport> size;                        // Where something is pruned.
  std::optional<std::pair<int64_t, int64_t>> block;      // rows, cols.
  std::string budget;
  std::optional<int64_t> sensitivity_examples;  // That LayerReport::sensitivity was measured on.
  std::string structure;                        // Empty: blocks are pruned.
  std::vector<GroupReport> groups;              // Of a structure.
  std::vector<LayerReport> layers;
  std::optional<FeatureSelectionReport> feature_selection;
  std::vector<PhaseReport> phases;
  std::vector<HistoryEntry> history;
  std::vector<std::string> warnings;
  std::vector<FileReport> files;
  std::optional<ShrunkReport> shrunk;  // None where nothing could be taken away.
  std::vector<LatencyReport> latency;
  std::optional<AccuracyBoundReport> accuracy_bound;
  bool bit_exact = true;

  CostReport costs;
  EnvironmentReport environment;
};

// Zero elements over all elements of `layers`; 0 where there are none.
double SparsityReached(const std::vector<LayerReport>& layers);

// The report as indented JSON. Keys come in a fixed order, numbers in the shortest form that reads
// back to the same bits, NaN as null. Two runs of one job with the same determinism key differ in
// "latency", "costs" and "environment" alone.
std::string ReportJson(const JobReport& report);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_REPORT_H_
