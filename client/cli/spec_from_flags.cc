#include "client/cli/spec_from_flags.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/exit_code.h"
#include "common/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace topiary {
namespace {

// Sets a field if the flag was given.
template <typename T, typename Set>
void IfGiven(const std::optional<T>& flag, Set set) {
  if (flag.has_value()) set(*flag);
}

absl::Status UnknownWord(absl::string_view flag, absl::string_view word,
                         const std::vector<absl::string_view>& known) {
  return UsageError(
      absl::StrCat(flag, " knows no \"", word, "\"; there are ", absl::StrJoin(known, ", ")));
}

// A word of the command line and the enum value it stands for.
template <typename Enum>
using Words = std::vector<std::pair<absl::string_view, Enum>>;

template <typename Enum>
absl::StatusOr<Enum> Choose(absl::string_view flag, absl::string_view word,
                            const Words<Enum>& words) {
  std::vector<absl::string_view> known;
  for (const auto& [name, value] : words) {
    if (name == word) return value;
    known.push_back(name);
  }
  return UnknownWord(flag, word, known);
}

// Two numbers above 0 with one of `separators` between them.
absl::StatusOr<std::pair<int, int>> ParsePair(absl::string_view text, absl::string_view separators,
                                              absl::string_view usage) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::ByAnyChar(separators));
  int first = 0;
  int second = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &first) ||
      !absl::SimpleAtoi(parts[1], &second) || first < 1 || second < 1) {
    return UsageError(absl::StrCat(usage, ", not \"", text, "\""));
  }
  return std::make_pair(first, second);
}

absl::Status ApplyDataFlags(const JobFlags& flags, v1::Data* data) {
  IfGiven(flags.validation_fraction, [&](double x) { data->set_validation_fraction(x); });
  IfGiven(flags.divide_by, [&](double x) { data->set_divide_by(x); });
  if (flags.normalize.empty()) return absl::OkStatus();
  using Fitted = v1::FittedNormalization;
  ASSIGN_OR_RETURN(const Fitted::Axis axis, Choose<Fitted::Axis>("--normalize", flags.normalize,
                                                                 {{"all", Fitted::ALL},
                                                                  {"channel", Fitted::CHANNEL},
                                                                  {"feature", Fitted::FEATURE}}));
  data->mutable_normalization()->mutable_fitted()->set_axis(axis);
  return absl::OkStatus();
}

// Chooses the field of the oneof `name` of `message` that is called `word`, the value of `flag`,
// which also knows the words `others`.
absl::Status ChooseField(absl::string_view flag, const std::string& word, const char* name,
                         std::vector<absl::string_view> others,
                         google::protobuf::Message* message) {
  const auto* fields = message->GetDescriptor()->FindOneofByName(name);
  for (int i = 0; i < fields->field_count(); ++i) {
    const auto* field = fields->field(i);
    others.push_back(field->name());
    if (field->name() != word) continue;
    message->GetReflection()->MutableMessage(message, field);
    return absl::OkStatus();
  }
  std::sort(others.begin(), others.end());
  return UnknownWord(flag, word, others);
}

// Chooses the method whose field in the spec is called `word`, the value of `flag`, with its
// defaults; schedules of magnitude have words of their own.
absl::Status ChooseMethod(absl::string_view flag, const std::string& word,
                          v1::CompressionSpec* spec) {
  constexpr absl::string_view kIterative = "magnitude_iterative", kOneShot = "magnitude_one_shot";
  if (word == kIterative) {
    spec->mutable_magnitude()->mutable_iterative();
  } else if (word == kOneShot) {
    spec->mutable_magnitude()->mutable_one_shot();
  } else {
    RETURN_IF_ERROR(ChooseField(flag, word, "method", {kIterative, kOneShot}, spec));
    if (word == "magnitude") spec->mutable_magnitude()->mutable_gradual();
  }
  return absl::OkStatus();
}

// By name, or as the default.
bool AttentionIsChosen(const v1::CompressionSpec& spec) {
  return spec.has_sequential_attention_pp() ||
         spec.method_case() == v1::CompressionSpec::METHOD_NOT_SET;
}

absl::Status ApplyPreset(const std::string& preset, v1::CompressionSpec* spec) {
  if (spec->has_ac_dc()) {
    using Method = v1::AcDcMethod;
    ASSIGN_OR_RETURN(const Method::Preset chosen,
                     Choose<Method::Preset>("--preset", preset,
                                            {{"paper_imagenet", Method::PAPER_IMAGENET},
                                             {"paper_cifar10", Method::PAPER_CIFAR10}}));
    spec->mutable_ac_dc()->set_preset(chosen);
    return absl::OkStatus();
  }
  if (!AttentionIsChosen(*spec)) {
    return UsageError("--preset goes with --method ac_dc and sequential_attention_pp only");
  }
  using Method = v1::SequentialAttentionPlusPlusMethod;
  ASSIGN_OR_RETURN(const Method::Preset chosen,
                   Choose<Method::Preset>("--preset", preset,
                                          {{"single", Method::SINGLE},
                                           {"paper_imagenet", Method::PAPER_IMAGENET},
                                           {"paper_criteo", Method::PAPER_CRITEO}}));
  spec->mutable_sequential_attention_pp()->set_preset(chosen);
  return absl::OkStatus();
}

absl::Status ApplyFeatureSelection(const JobFlags& flags, v1::CompressionSpec* spec) {
  if (!flags.features.has_value() && flags.selector.empty()) return absl::OkStatus();
  if (!spec->has_feature_selection()) {
    return UsageError("--features and --selector go with --method feature_selection only");
  }
  v1::FeatureSelectionMethod* method = spec->mutable_feature_selection();
  IfGiven(flags.features, [&](int32_t x) { method->set_count(x); });
  if (flags.selector.empty()) return absl::OkStatus();
  return ChooseField("--selector", flags.selector, "selector", {}, method);
}

absl::Status ApplyMethod(const JobFlags& flags, v1::CompressionSpec* spec) {
  if (!flags.method.empty()) RETURN_IF_ERROR(ChooseMethod("--method", flags.method, spec));
  if (!flags.preset.empty()) RETURN_IF_ERROR(ApplyPreset(flags.preset, spec));
  if (!flags.softmax.empty()) {
    using Method = v1::SequentialAttentionPlusPlusMethod;
    ASSIGN_OR_RETURN(
        const Method::Softmax softmax,
        Choose<Method::Softmax>("--softmax", flags.softmax,
                                {{"layer", Method::LAYER}, {"global", Method::GLOBAL}}));
    if (!AttentionIsChosen(*spec)) {
      return UsageError("--softmax goes with --method sequential_attention_pp only");
    }
    spec->mutable_sequential_attention_pp()->set_softmax(softmax);
  }
  RETURN_IF_ERROR(ApplyFeatureSelection(flags, spec));
  if (flags.return_predictions) {
    if (!spec->has_evaluate()) return UsageError("--predictions goes with --method evaluate only");
    spec->mutable_evaluate()->set_return_predictions(true);
  }
  return absl::OkStatus();
}

// A number below 1 is a ratio, any other a count.
void SetSize(double value, v1::SizeBudget* budget) {
  if (value < 1) {
    budget->set_ratio(value);
  } else {
    budget->set_count(static_cast<int64_t>(std::min(value, 0x1p62)));
  }
}

absl::Status ApplyAmount(const JobFlags& flags, v1::CompressionSpec* spec) {
  const int given = (flags.sparsity ? 1 : 0) + (flags.latency_ratio ? 1 : 0) +
                    (flags.parameters ? 1 : 0) + (flags.bytes ? 1 : 0) + (flags.flops ? 1 : 0) +
                    (flags.n_of_m.empty() ? 0 : 1);
  if (given > 1) {
    return UsageError(
        "--sparsity, --latency-ratio, --parameters, --bytes, --flops and --n-of-m exclude one "
        "another");
  }
  if (given == 0) return absl::OkStatus();
  v1::PruningTarget* target = spec->mutable_target();
  IfGiven(flags.sparsity, [&](double x) { target->set_sparsity(x); });
  IfGiven(flags.latency_ratio, [&](double x) { target->mutable_latency()->set_ratio(x); });
  IfGiven(flags.parameters, [&](double x) { SetSize(x, target->mutable_parameters()); });
  IfGiven(flags.bytes, [&](double x) { SetSize(x, target->mutable_bytes()); });
  IfGiven(flags.flops, [&](double x) { SetSize(x, target->mutable_flops()); });
  if (flags.n_of_m.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto n_of_m,
                   ParsePair(flags.n_of_m, ":", "--n-of-m takes N:M, such as 2:4"));
  target->mutable_n_of_m()->set_n(n_of_m.first);
  target->mutable_n_of_m()->set_m(n_of_m.second);
  return absl::OkStatus();
}

// The last "=" parts them: a pattern may have one, a number has none.
absl::Status AddLayerTarget(const std::string& text, v1::PruningTarget* target) {
  const size_t equals = text.rfind('=');
  const std::vector<std::string> numbers = equals == std::string::npos
                                               ? std::vector<std::string>()
                                               : absl::StrSplit(text.substr(equals + 1), ':');
  v1::LayerTarget* layer = target->add_layer_targets();
  layer->set_pattern(text.substr(0, equals));
  double low = 0, high = 0;
  const bool one = numbers.size() == 1 && absl::SimpleAtod(numbers[0], &low);
  const bool two = numbers.size() == 2 && !(numbers[0].empty() && numbers[1].empty()) &&
                   (numbers[0].empty() || absl::SimpleAtod(numbers[0], &low)) &&
                   (numbers[1].empty() || absl::SimpleAtod(numbers[1], &high));
  if (!one && !two) {
    return UsageError(absl::StrCat(
        "--layer-sparsity takes PATTERN=SPARSITY or PATTERN=MIN:MAX, not \"", text, "\""));
  }
  if (one) layer->set_sparsity(low);
  if (two && !numbers[0].empty()) layer->set_min_sparsity(low);
  if (two && !numbers[1].empty()) layer->set_max_sparsity(high);
  return absl::OkStatus();
}

const Words<v1::Task::Metric>& MetricWords() {
  static const auto* const kWords =
      new Words<v1::Task::Metric>{{"accuracy", v1::Task::ACCURACY},
                                  {"top5_accuracy", v1::Task::TOP5_ACCURACY},
                                  {"log_loss", v1::Task::LOG_LOSS},
                                  {"auc", v1::Task::AUC},
                                  {"mean_squared_error", v1::Task::MEAN_SQUARED_ERROR_METRIC},
                                  {"r2", v1::Task::R2}};
  return *kWords;
}

absl::Status ApplyBound(const std::string& text, v1::CompressionSpec* spec) {
  if (text.empty()) return absl::OkStatus();
  v1::AccuracyBound* bound = spec->mutable_target()->mutable_accuracy_bound();
  bound->Clear();
  absl::string_view limit = text;
  if (const size_t equals = limit.find('='); equals != absl::string_view::npos) {
    ASSIGN_OR_RETURN(const v1::Task::Metric metric,
                     Choose<v1::Task::Metric>("--bound", limit.substr(0, equals), MetricWords()));
    bound->set_metric(metric);
    limit.remove_prefix(equals + 1);
  }
  double value = 0;
  const bool given = absl::ConsumePrefix(&limit, "given-");
  const bool dense = !given && absl::ConsumePrefix(&limit, "dense-");
  if (!absl::SimpleAtod(limit, &value)) {
    return UsageError(absl::StrCat(
        "--bound takes [METRIC=]VALUE, [METRIC=]given-DROP or [METRIC=]dense-DROP, not \"", text,
        "\""));
  }
  if (given) {
    bound->set_max_drop_from_given(value);
  } else if (dense) {
    bound->set_max_drop_from_dense(value);
  } else {
    bound->set_value(value);
  }
  return absl::OkStatus();
}

absl::Status ApplyTarget(const JobFlags& flags, v1::CompressionSpec* spec) {
  RETURN_IF_ERROR(ApplyAmount(flags, spec));
  RETURN_IF_ERROR(ApplyBound(flags.bound, spec));
  if (flags.latency_ratio_batch.has_value()) {
    if (!spec->target().has_latency()) {
      return UsageError("--latency-ratio-batch goes with --latency-ratio only");
    }
    spec->mutable_target()->mutable_latency()->set_batch_size(*flags.latency_ratio_batch);
  }
  IfGiven(flags.min_blocks, [&](int32_t x) { spec->mutable_target()->set_min_blocks(x); });
  if (!flags.block.empty()) {
    ASSIGN_OR_RETURN(const auto block, ParseBlock("--block", flags.block));
    spec->mutable_target()->set_block_rows(block.first);
    spec->mutable_target()->set_block_cols(block.second);
  }
  if (!flags.budget.empty()) {
    using Target = v1::PruningTarget;
    ASSIGN_OR_RETURN(const Target::Budget budget,
                     Choose<Target::Budget>("--budget", flags.budget,
                                            {{"uniform", Target::UNIFORM},
                                             {"global", Target::GLOBAL},
                                             {"erk", Target::ERK},
                                             {"sensitivity", Target::SENSITIVITY}}));
    spec->mutable_target()->set_budget(budget);
  }
  if (!flags.structure.empty()) {
    using Target = v1::PruningTarget;
    ASSIGN_OR_RETURN(
        const Target::Structure structure,
        Choose<Target::Structure>("--structure", flags.structure,
                                  {{"channels", Target::CHANNELS},
                                   {"neurons", Target::NEURONS},
                                   {"heads", Target::HEADS},
                                   {"branches", Target::BRANCHES},
                                   {"transformer_layers", Target::TRANSFORMER_LAYERS},
                                   {"embedding_dimensions", Target::EMBEDDING_DIMENSIONS},
                                   {"embedding_rows", Target::EMBEDDING_ROWS},
                                   {"embedding_tables", Target::EMBEDDING_TABLES}}));
    spec->mutable_target()->set_structure(structure);
  }
  IfGiven(flags.min_candidates, [&](int32_t x) { spec->mutable_target()->set_min_candidates(x); });
  for (const std::string& text : flags.layer_sparsities) {
    RETURN_IF_ERROR(AddLayerTarget(text, spec->mutable_target()));
  }
  for (const std::string& pattern : flags.include) {
    spec->mutable_target()->add_include_layers(pattern);
  }
  for (const std::string& pattern : flags.exclude) {
    spec->mutable_target()->add_exclude_layers(pattern);
  }
  return absl::OkStatus();
}

absl::Status ApplyOptimizer(const JobFlags& flags, v1::Task* task) {
  const std::string& name = flags.optimizer;
  if (name == "sgd") {
    task->mutable_optimizer()->mutable_sgd();
  } else if (name == "adam") {
    task->mutable_optimizer()->mutable_adam();
  } else if (name == "adamw") {
    task->mutable_optimizer()->mutable_adamw();
  } else if (!name.empty()) {
    return UnknownWord("--optimizer", name, {"sgd", "adam", "adamw"});
  }
  IfGiven(flags.weight_decay, [&](double x) { task->mutable_optimizer()->set_weight_decay(x); });
  if (!flags.momentum.has_value() && !flags.nesterov) return absl::OkStatus();
  const auto kind = task->optimizer().kind_case();
  if (kind != v1::Optimizer::KIND_NOT_SET && kind != v1::Optimizer::kSgd) {
    return UsageError("--momentum and --nesterov go with --optimizer sgd only");
  }
  v1::Sgd* sgd = task->mutable_optimizer()->mutable_sgd();
  IfGiven(flags.momentum, [&](double x) { sgd->set_momentum(x); });
  if (flags.nesterov) sgd->set_nesterov(true);
  return absl::OkStatus();
}

absl::Status ApplyLearningRate(const JobFlags& flags, v1::Task* task) {
  IfGiven(flags.learning_rate, [&](double x) { task->mutable_learning_rate()->set_base(x); });
  IfGiven(flags.warmup_steps,
          [&](int64_t x) { task->mutable_learning_rate()->set_warmup_steps(x); });
  if (flags.schedule == "constant") {
    task->mutable_learning_rate()->mutable_constant();
  } else if (flags.schedule == "cosine") {
    task->mutable_learning_rate()->mutable_cosine();
  } else if (flags.schedule == "linear") {
    task->mutable_learning_rate()->mutable_linear();
  } else if (!flags.schedule.empty()) {
    return UnknownWord("--schedule", flags.schedule,
                       {"constant", "cosine", "linear", "step (with --spec)"});
  }
  return absl::OkStatus();
}

absl::Status ApplyLossAndMetrics(const JobFlags& flags, v1::Task* task) {
  using Task = v1::Task;
  if (!flags.loss.empty()) {
    ASSIGN_OR_RETURN(const Task::Loss loss,
                     Choose<Task::Loss>("--loss", flags.loss,
                                        {{"cross_entropy", Task::CROSS_ENTROPY},
                                         {"binary_cross_entropy", Task::BINARY_CROSS_ENTROPY},
                                         {"mean_squared_error", Task::MEAN_SQUARED_ERROR}}));
    task->set_loss(loss);
  }
  if (!flags.metrics.empty()) task->clear_metrics();
  for (const std::string& word : flags.metrics) {
    ASSIGN_OR_RETURN(const Task::Metric metric,
                     Choose<Task::Metric>("--metric", word, MetricWords()));
    task->add_metrics(metric);
  }
  return absl::OkStatus();
}

absl::Status ApplyPrecision(const JobFlags& flags, v1::Task* task) {
  if (flags.precision.empty()) return absl::OkStatus();
  using Task = v1::Task;
  ASSIGN_OR_RETURN(
      const Task::Precision precision,
      Choose<Task::Precision>("--precision", flags.precision,
                              {{"float32", Task::FLOAT32}, {"bfloat16", Task::BFLOAT16}}));
  task->set_precision(precision);
  return absl::OkStatus();
}

absl::Status ApplyTask(const JobFlags& flags, v1::Task* task) {
  if (flags.epochs.has_value() && flags.steps.has_value()) {
    return UsageError("--epochs and --steps exclude each other");
  }
  IfGiven(flags.epochs, [&](int32_t x) { task->set_epochs(x); });
  IfGiven(flags.steps, [&](int64_t x) { task->set_steps(x); });
  IfGiven(flags.batch, [&](int32_t x) { task->set_batch_size(x); });
  IfGiven(flags.seed, [&](uint64_t x) { task->set_seed(x); });
  IfGiven(flags.clip_gradient_norm, [&](double x) { task->set_clip_gradient_norm(x); });
  RETURN_IF_ERROR(ApplyOptimizer(flags, task));
  RETURN_IF_ERROR(ApplyLearningRate(flags, task));
  RETURN_IF_ERROR(ApplyPrecision(flags, task));
  return ApplyLossAndMetrics(flags, task);
}

absl::Status ApplyService(const JobFlags& flags, v1::CompressionSpec* spec) {
  IfGiven(flags.threads, [&](int32_t x) { spec->mutable_placement()->set_threads(x); });
  IfGiven(flags.max_attempts, [&](int32_t x) { spec->mutable_retry()->set_max_attempts(x); });
  IfGiven(flags.priority, [&](int32_t x) { spec->set_priority(x); });
  if (flags.deadline_seconds.has_value()) {
    const double seconds = *flags.deadline_seconds;
    if (!(seconds > 0 && seconds < 1e9)) return UsageError("--deadline takes seconds above 0");
    const auto whole = static_cast<int64_t>(seconds);
    spec->mutable_deadline()->set_seconds(whole);
    spec->mutable_deadline()->set_nanos(static_cast<int32_t>((seconds - whole) * 1e9));
  }
  if (flags.dry_run) spec->set_dry_run(true);
  if (flags.train_dense_comparison) spec->mutable_outputs()->set_train_dense_comparison(true);
  if (flags.keep_checkpoint) spec->mutable_outputs()->set_keep_checkpoint(true);
  if (flags.no_latency) {
    spec->mutable_outputs()->set_latency(false);
    spec->mutable_outputs()->clear_latency_batch_sizes();
  }
  if (!flags.latency_batches.empty()) {
    spec->mutable_outputs()->mutable_latency_batch_sizes()->Assign(flags.latency_batches.begin(),
                                                                   flags.latency_batches.end());
  }
  for (const std::string& label : flags.labels) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (parts.first.empty() || label.find('=') == std::string::npos) {
      return UsageError(absl::StrCat("--label takes KEY=VALUE, not \"", label, "\""));
    }
    (*spec->mutable_labels())[parts.first] = parts.second;
  }
  return absl::OkStatus();
}

// A list that is given takes the place of that of the spec.
absl::Status ApplySweep(const JobFlags& flags, v1::CompressionSpec* spec) {
  if (!flags.sweep_sparsities.empty()) {
    spec->mutable_sweep()->mutable_sparsities()->Assign(flags.sweep_sparsities.begin(),
                                                        flags.sweep_sparsities.end());
  }
  if (!flags.sweep_seeds.empty()) {
    spec->mutable_sweep()->mutable_seeds()->Assign(flags.sweep_seeds.begin(),
                                                   flags.sweep_seeds.end());
  }
  if (!flags.sweep_blocks.empty()) spec->mutable_sweep()->clear_blocks();
  for (const std::string& text : flags.sweep_blocks) {
    ASSIGN_OR_RETURN(const auto block, ParseBlock("--sweep-block", text));
    v1::Sweep::Block* added = spec->mutable_sweep()->add_blocks();
    added->set_rows(block.first);
    added->set_cols(block.second);
  }
  if (!flags.sweep_methods.empty()) spec->mutable_sweep()->clear_methods();
  for (const std::string& word : flags.sweep_methods) {
    RETURN_IF_ERROR(ChooseMethod("--sweep-method", word, spec->mutable_sweep()->add_methods()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplyFlags(const JobFlags& flags, v1::CompressionSpec* spec) {
  RETURN_IF_ERROR(ApplyMethod(flags, spec));
  RETURN_IF_ERROR(ApplyDataFlags(flags, spec->mutable_data()));
  RETURN_IF_ERROR(ApplyTarget(flags, spec));
  RETURN_IF_ERROR(ApplyTask(flags, spec->mutable_task()));
  RETURN_IF_ERROR(ApplySweep(flags, spec));
  if (spec->has_benchmark()) {
    // Neither is needed; where there is something in them the service says so.
    if (spec->data().ByteSizeLong() == 0) spec->clear_data();
    if (spec->task().ByteSizeLong() == 0) spec->clear_task();
  }
  return ApplyService(flags, spec);
}

absl::StatusOr<std::pair<int, int>> ParseBlock(absl::string_view flag, absl::string_view text) {
  return ParsePair(text, "xX", absl::StrCat(flag, " takes ROWSxCOLS, such as 16x16 or 1x8"));
}

}  // namespace topiary
