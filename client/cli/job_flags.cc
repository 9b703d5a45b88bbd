#include "client/cli/job_flags.h"

#include "CLI/CLI.hpp"

namespace topiary {
namespace {

void AddDataFlags(CLI::App* command, JobFlags* flags) {
  const auto group = "Model and data";
  command
      ->add_option("--spec", flags->spec_file,
                   "CompressionSpec as JSON (*.json) or text format; flags win over it")
      ->group(group);
  command->add_option("--model", flags->model, "ONNX file; its external data is found")
      ->group(group);
  command->add_option("--train", flags->train, "FILE.npz, FILE.csv[.gz] or IMAGES,LABELS (IDX)")
      ->group(group);
  command->add_option("--eval", flags->evaluation, "Held-out data, as --train")->group(group);
  command
      ->add_option("--input-array", flags->input_array,
                   "Features in the .npz, for a model of one input [x]")
      ->group(group);
  command->add_option("--label-array", flags->label_array, "Labels in the .npz [y]")->group(group);
  command->add_option("--label-column", flags->label_column, "CSV column, name or number [last]")
      ->group(group);
  command->add_option("--ignore-column", flags->ignore_columns, "CSV column not to read")
      ->group(group);
  command->add_flag("--no-header", flags->no_header, "The CSV has no row of names")->group(group);
  command->add_option("--delimiter", flags->delimiter, "Of the CSV's fields [,]")->group(group);
  command
      ->add_option("--validation-fraction", flags->validation_fraction,
                   "Part of --train to hold out without --eval [0.1]")
      ->group(group);
  command->add_option("--divide-by", flags->divide_by, "Divide every feature, 255 for images [1]")
      ->group(group);
  command
      ->add_option("--normalize", flags->normalize,
                   "Mean 0, deviation 1 over: all, channel, "
                   "feature [none]")
      ->group(group);
}

void AddPruningFlags(CLI::App* command, JobFlags* flags) {
  const auto group = "Pruning";
  command
      ->add_option(
          "--method", flags->method,
          "ac_dc, benchmark, dense, evaluate, fisher_attention, group_lasso, group_obs, iht, "
          "magnitude, magnitude_iterative, magnitude_one_shot, movement, power_propagation, "
          "random, rigl, sequential_attention_pp, snip, sparsegpt, wanda, or feature_selection "
          "[sequential_attention_pp]")
      ->group(group);
  command->add_option("--sparsity", flags->sparsity, "Part of the blocks to prune, in (0, 1)")
      ->group(group);
  command
      ->add_option("--latency-ratio", flags->latency_ratio,
                   "Instead of a sparsity: time of a pass over that of the dense model, in (0, 1)")
      ->group(group);
  command
      ->add_option("--latency-ratio-batch", flags->latency_ratio_batch,
                   "Examples in such a pass [1]")
      ->group(group);
  const std::pair<const char*, std::optional<double>*> sizes[] = {
      {"--parameters", &flags->parameters}, {"--bytes", &flags->bytes}, {"--flops", &flags->flops}};
  for (const auto& [name, value] : sizes) {
    command
        ->add_option(name, *value,
                     "Instead of a sparsity: at most so many in the pruned model, or, below 1, so "
                     "much of those of the dense model")
        ->group(group);
  }
  command
      ->add_option("--n-of-m", flags->n_of_m,
                   "Instead of a sparsity: N:M, such as 2:4, keeps N of each M weights along the "
                   "inputs")
      ->group(group);
  command->add_option("--block", flags->block, "ROWSxCOLS of a block [16x16]")->group(group);
  command
      ->add_option("--budget", flags->budget,
                   "uniform (per layer), global, erk, sensitivity [uniform]")
      ->group(group);
  command
      ->add_option(
          "--bound", flags->bound,
          "[METRIC=]VALUE, [METRIC=]given-DROP or [METRIC=]dense-DROP: how good the pruned "
          "model must be, by itself or against the model as given or trained densely")
      ->group(group);
  command
      ->add_option(
          "--layer-sparsity", flags->layer_sparsities,
          "PATTERN=SPARSITY or PATTERN=MIN:MAX, either of which may be left out: bounds of "
          "the layers that match")
      ->group(group);
  command->add_option("--include", flags->include, "Pattern of layers that may be pruned [*]")
      ->group(group);
  command->add_option("--exclude", flags->exclude, "Pattern of layers that stay dense")
      ->group(group);
  command->add_option("--min-blocks", flags->min_blocks, "Layers of fewer blocks stay dense [100]")
      ->group(group);
  command
      ->add_option("--structure", flags->structure,
                   "Instead of blocks: channels, neurons, heads, branches, transformer_layers, "
                   "embedding_dimensions, embedding_rows, embedding_tables")
      ->group(group);
  command
      ->add_option("--min-candidates", flags->min_candidates,
                   "Groups of fewer channels, neurons or heads stay as they are [2]")
      ->group(group);
  command
      ->add_option("--preset", flags->preset,
                   "Phases of sequential_attention_pp: single, paper_imagenet, paper_criteo "
                   "[single]; of ac_dc: paper_imagenet, paper_cifar10 [paper_imagenet]")
      ->group(group);
  command
      ->add_option("--softmax", flags->softmax,
                   "Over whose blocks sequential_attention_pp takes it: layer, global [layer]")
      ->group(group);
  command
      ->add_option("--features", flags->features,
                   "How many features feature_selection keeps, of the model's inputs")
      ->group(group);
  command
      ->add_option("--selector", flags->selector,
                   "How feature_selection chooses: sequential_attention, omp, sequential_lasso, "
                   "group_lasso, liao_latty_yang, stochastic_gates, concrete_autoencoder, "
                   "omp_linear, random [sequential_attention]")
      ->group(group);
  command
      ->add_flag("--dense-comparison", flags->train_dense_comparison,
                 "Also train the model without pruning")
      ->group(group);
}

void AddTrainingFlags(CLI::App* command, JobFlags* flags) {
  const auto group = "Training";
  command->add_option("--epochs", flags->epochs, "Over the training data [10]")->group(group);
  command->add_option("--steps", flags->steps, "Batches, instead of epochs")->group(group);
  command->add_option("--batch", flags->batch, "Examples per step [128]")->group(group);
  command->add_option("--seed", flags->seed, "Of everything random [0]")->group(group);
  command
      ->add_option("--loss", flags->loss,
                   "cross_entropy, binary_cross_entropy, mean_squared_error [cross_entropy]")
      ->group(group);
  command
      ->add_option("--metric", flags->metrics,
                   "accuracy, top5_accuracy, log_loss, auc, mean_squared_error, r2")
      ->group(group);
  command->add_option("--optimizer", flags->optimizer, "sgd, adam, adamw [sgd]")->group(group);
  command
      ->add_option("--learning-rate", flags->learning_rate,
                   "Highest of the schedule [0.05; 0.001 for adam and adamw]")
      ->group(group);
  command->add_option("--schedule", flags->schedule, "constant, cosine, linear [cosine]")
      ->group(group);
  command->add_option("--warmup-steps", flags->warmup_steps, "Rising to the highest rate [0]")
      ->group(group);
  command->add_option("--momentum", flags->momentum, "Of sgd [0.9]")->group(group);
  command->add_flag("--nesterov", flags->nesterov, "Nesterov's momentum, with sgd")->group(group);
  command->add_option("--weight-decay", flags->weight_decay, "[0; 0.01 for adamw]")->group(group);
  command->add_option("--clip-gradient-norm", flags->clip_gradient_norm, "Largest norm [none]")
      ->group(group);
  command
      ->add_option("--precision", flags->precision,
                   "Of dense products and convolutions: float32, bfloat16 (on workers that have "
                   "it) [float32]")
      ->group(group);
}

void AddServiceFlags(CLI::App* command, JobFlags* flags) {
  const auto group = "Running";
  command->add_option("--threads", flags->threads, "Of the worker [what it has for a job]")
      ->group(group);
  command->add_option("--max-attempts", flags->max_attempts, "When workers are lost [3]")
      ->group(group);
  command->add_option("--priority", flags->priority, "-100 to 100, higher first [0]")->group(group);
  command->add_option("--deadline", flags->deadline_seconds, "Seconds until the job fails [none]")
      ->group(group);
  command->add_option("--label", flags->labels, "KEY=VALUE to find the job by")->group(group);
  command
      ->add_flag("--dry-run", flags->dry_run,
                 "Train nothing; report what the job would do and how fast its model would be")
      ->group(group);
  command->add_flag("--keep-checkpoint", flags->keep_checkpoint, "Also after success")
      ->group(group);
  command->add_flag("--predictions", flags->return_predictions, "With --method evaluate")
      ->group(group);
  command
      ->add_option("--latency-batch", flags->latency_batches,
                   "Time the result at so many examples [1 and 64]")
      ->group(group);
  command->add_flag("--no-latency", flags->no_latency, "Do not time the result")->group(group);
}

void AddSweepFlags(CLI::App* command, JobFlags* flags) {
  const auto group = "Sweep: a job for each combination, and a report that compares them";
  command
      ->add_option("--sweep-sparsity", flags->sweep_sparsities,
                   "In place of --sparsity: S,S,... or given several times")
      ->delimiter(',')
      ->group(group);
  command
      ->add_option("--sweep-block", flags->sweep_blocks,
                   "In place of --block: ROWSxCOLS,... or given several times")
      ->delimiter(',')
      ->group(group);
  command
      ->add_option(
          "--sweep-method", flags->sweep_methods,
          "In place of --method: names of methods, with their defaults (--spec for others)")
      ->delimiter(',')
      ->group(group);
  command
      ->add_option("--sweep-seed", flags->sweep_seeds,
                   "In place of --seed: N,N,... or given several times")
      ->delimiter(',')
      ->group(group);
}

}  // namespace

void AddJobFlags(CLI::App* command, JobFlags* flags) {
  AddDataFlags(command, flags);
  AddPruningFlags(command, flags);
  AddTrainingFlags(command, flags);
  AddServiceFlags(command, flags);
  AddSweepFlags(command, flags);
}

}  // namespace topiary
