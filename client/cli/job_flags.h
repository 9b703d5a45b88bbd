#ifndef TOPIARY_CLIENT_CLI_JOB_FLAGS_H_
#define TOPIARY_CLIENT_CLI_JOB_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace topiary {

// The flags that describe a job: the common case of a CompressionSpec. What was not given is empty.
struct JobFlags {
  std::string spec_file;  // JSON or text format; the other flags are laid over it.

  std::string model;       // model.onnx
  std::string train;       // See client/data_files.h.
  std::string evaluation;  // As train.
  std::string input_array;
  std::string label_array;
  std::string label_column;
  std::vector<std::string> ignore_columns;
  bool no_header = false;
  std::string delimiter;
  std::optional<double> validation_fraction;
  std::optional<double> divide_by;
  std::string normalize;  // all, channel, feature

  std::string method;
  std::optional<double> sparsity;
  std::optional<double> latency_ratio;  // Instead of the sparsity.
  std::optional<int32_t> latency_ratio_batch;
  std::optional<double> parameters;  // Instead of the sparsity: a ratio below 1, or a count.
  std::optional<double> bytes;
  std::optional<double> flops;
  std::string n_of_m;  // N:M, instead of the sparsity.
  std::string block;   // ROWSxCOLS
  std::string budget;  // uniform, global, erk, sensitivity
  std::string bound;   // [METRIC=]VALUE, or [METRIC=]given-DROP, [METRIC=]dense-DROP
  std::vector<std::string> layer_sparsities;  // PATTERN=SPARSITY or PATTERN=MIN:MAX
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  std::optional<int32_t> min_blocks;
  // channels, neurons, heads, branches, transformer_layers, embedding_dimensions, embedding_rows,
  // embedding_tables
  std::string structure;
  std::optional<int32_t> min_candidates;
  std::string softmax;              // layer, global
  std::string preset;               // single, paper_imagenet, paper_criteo, paper_cifar10
  std::optional<int32_t> features;  // How many feature_selection keeps.
  std::string selector;             // Of feature_selection: the name of its field.

  std::string loss;
  std::vector<std::string> metrics;
  std::string optimizer;  // sgd, adam, adamw
  std::optional<double> learning_rate;
  std::optional<double> momentum;
  bool nesterov = false;
  std::optional<double> weight_decay;
  std::string schedule;  // constant, cosine, linear
  std::optional<int64_t> warmup_steps;
  std::optional<double> clip_gradient_norm;
  std::optional<int32_t> batch;
  std::optional<int32_t> epochs;
  std::optional<int64_t> steps;
  std::optional<uint64_t> seed;
  std::string precision;  // float32, bfloat16

  std::optional<int32_t> threads;
  std::optional<int32_t> max_attempts;
  std::optional<int32_t> priority;
  std::optional<double> deadline_seconds;
  std::vector<std::string> labels;  // KEY=VALUE
  bool train_dense_comparison = false;
  bool dry_run = false;
  bool keep_checkpoint = false;
  bool return_predictions = false;
  std::vector<int32_t> latency_batches;
  bool no_latency = false;

  // One job for each combination of these; empty: none.
  std::vector<std::string> sweep_methods;
  std::vector<std::string> sweep_blocks;  // ROWSxCOLS
  std::vector<double> sweep_sparsities;
  std::vector<uint64_t> sweep_seeds;
};

// Adds the flags, in groups for --help; `flags` must outlive `command`.
void AddJobFlags(CLI::App* command, JobFlags* flags);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_JOB_FLAGS_H_
