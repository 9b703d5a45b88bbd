#include "server/api/spec_defaults.h"

#include <algorithm>

#include "google/protobuf/util/time_util.h"

namespace topiary {
namespace {

// Sets an optional field, or an integer or enum whose zero stands for the default.
#define SET_IF_ABSENT(message, field, value) \
  if (!(message)->has_##field()) (message)->set_##field(value)
#define SET_IF_ZERO(message, field, value) \
  if ((message)->field() == 0) (message)->set_##field(value)

void FillSource(v1::DataSource* source) {
  if (source->has_npz()) {
    v1::NpzSource* npz = source->mutable_npz();
    if (npz->input_array().empty()) npz->set_input_array("x");
    if (npz->label_array().empty()) npz->set_label_array("y");
  }
  if (source->has_csv()) {
    v1::CsvSource* csv = source->mutable_csv();
    SET_IF_ABSENT(csv, header, true);
    if (csv->delimiter().empty()) csv->set_delimiter(",");
  }
}

void FillData(v1::Data* data) {
  FillSource(data->mutable_train());
  if (data->has_evaluation()) {
    FillSource(data->mutable_evaluation());
  } else {
    SET_IF_ABSENT(data, validation_fraction, 0.1);
  }
  SET_IF_ABSENT(data, divide_by, 1.0);
  if (data->normalization().has_fitted()) {
    SET_IF_ZERO(
        data->mutable_normalization()->mutable_fitted(), axis,
        data->train().has_csv() ? v1::FittedNormalization::FEATURE : v1::FittedNormalization::ALL);
  }
}

template <typename AdamMessage>
void FillAdam(AdamMessage* adam) {
  SET_IF_ABSENT(adam, beta1, 0.9);
  SET_IF_ABSENT(adam, beta2, 0.999);
  SET_IF_ABSENT(adam, epsilon, 1e-8);
}

void FillOptimizer(v1::Optimizer* optimizer) {
  if (optimizer->kind_case() == v1::Optimizer::KIND_NOT_SET) optimizer->mutable_sgd();
  if (optimizer->has_sgd()) SET_IF_ABSENT(optimizer->mutable_sgd(), momentum, 0.9);
  if (optimizer->has_adam()) FillAdam(optimizer->mutable_adam());
  if (optimizer->has_adamw()) FillAdam(optimizer->mutable_adamw());
  SET_IF_ABSENT(optimizer, weight_decay, optimizer->has_adamw() ? 0.01 : 0.0);
}

void FillLearningRate(bool sgd, v1::LearningRate* rate) {
  SET_IF_ABSENT(rate, base, sgd ? 0.05 : 0.001);
  if (rate->schedule_case() == v1::LearningRate::SCHEDULE_NOT_SET) rate->mutable_cosine();
  if (rate->has_step()) SET_IF_ABSENT(rate->mutable_step(), factor, 0.1);
  if (rate->has_cosine()) SET_IF_ABSENT(rate->mutable_cosine(), final_fraction, 0.0);
  if (rate->has_linear()) SET_IF_ABSENT(rate->mutable_linear(), final_fraction, 0.0);
}

void FillDistillation(v1::Task::Loss loss, v1::Distillation* distillation) {
  SET_IF_ABSENT(distillation, weight, 0.5);
  if (loss != v1::Task::MEAN_SQUARED_ERROR) SET_IF_ABSENT(distillation, temperature, 4.0);
  for (v1::DistilledFeature& feature : *distillation->mutable_features()) {
    SET_IF_ABSENT(&feature, weight, 1.0);
  }
}

void FillTask(bool trains, v1::Task* task) {
  SET_IF_ZERO(task, loss, v1::Task::CROSS_ENTROPY);
  if (trains) {
    FillOptimizer(task->mutable_optimizer());
    FillLearningRate(task->optimizer().has_sgd(), task->mutable_learning_rate());
    if (task->length_case() == v1::Task::LENGTH_NOT_SET) task->set_epochs(10);
  }
  SET_IF_ZERO(task, batch_size, 128);
  SET_IF_ABSENT(task, seed, 0);
  if (task->has_distillation()) FillDistillation(task->loss(), task->mutable_distillation());
  SET_IF_ZERO(task, precision, v1::Task::FLOAT32);
  FillMetrics(task);
}

template <typename Schedule>
void FillStretch(Schedule* schedule, const Stretch& absent = kGradualStretch) {
  SET_IF_ABSENT(schedule, begin_fraction, absent.begin_fraction);
  SET_IF_ABSENT(schedule, end_fraction, absent.end_fraction);
}

// Of magnitude and power_propagation.
template <typename Method>
void FillSchedule(Method* method) {
  if (method->schedule_case() == Method::SCHEDULE_NOT_SET) method->mutable_gradual();
  if (method->has_one_shot()) SET_IF_ABSENT(method->mutable_one_shot(), at_fraction, 0.0);
  if (method->has_gradual()) FillStretch(method->mutable_gradual());
  if (method->has_iterative()) {
    SET_IF_ABSENT(method->mutable_iterative(), rounds, 10);
    FillStretch(method->mutable_iterative());
  }
}

void FillPowerPropagation(v1::PowerPropagationMethod* method) {
  if (!method->has_block()) SET_IF_ABSENT(method->mutable_element(), exponent, 2.0);
  FillSchedule(method);
}

void FillAcDc(v1::AcDcMethod* method) {
  if (method->plan_case() != v1::AcDcMethod::kPhases) {
    SET_IF_ZERO(method, preset, v1::AcDcMethod::PAPER_IMAGENET);
  }
  SET_IF_ABSENT(method, restart_at_zero, true);
  SET_IF_ABSENT(method, reset_optimizer_at_phases, true);
}

void FillRigL(v1::RigLMethod* method) {
  SET_IF_ABSENT(method, drop_fraction, 0.3);
  SET_IF_ABSENT(method, update_steps, 100);
  SET_IF_ABSENT(method, end_fraction, 0.75);
}

// Of the methods that prune by calibration.
template <typename Method>
void FillCalibration(Method* method) {
  SET_IF_ZERO(method, calibration_examples, 1024);
}

// Of those that invert the moments.
template <typename Method>
void FillQuadratic(Method* method) {
  FillCalibration(method);
  SET_IF_ABSENT(method, dampening, 0.01);
}

void FillSequentialAttention(double weight_decay, v1::SequentialAttentionPlusPlusMethod* method) {
  using Method = v1::SequentialAttentionPlusPlusMethod;
  if (method->plan_case() != Method::kPhases) SET_IF_ZERO(method, preset, Method::SINGLE);
  SET_IF_ABSENT(method, logits_learning_rate_multiplier, 10.0);
  SET_IF_ABSENT(method, logits_weight_decay, weight_decay);
  if (HasSparsificationPhase(*method)) SET_IF_ABSENT(method, schedule_constant, 4.0);
  SET_IF_ABSENT(method, clip_attention, true);
  SET_IF_ZERO(method, softmax, Method::LAYER);
  SET_IF_ABSENT(method, reset_optimizer_at_phases, true);
}

void FillFisherAttention(double weight_decay, v1::FisherAttentionMethod* method) {
  FillStretch(method, kFisherAttentionStretch);
  SET_IF_ABSENT(method, logits_learning_rate_multiplier, 30.0);
  SET_IF_ABSENT(method, logits_weight_decay, weight_decay);
  SET_IF_ABSENT(method, fisher_decay, 0.98);
}

void FillFeatureSelection(const v1::Task& task, v1::FeatureSelectionMethod* method) {
  using Method = v1::FeatureSelectionMethod;
  if (method->selector_case() == Method::SELECTOR_NOT_SET) method->mutable_sequential_attention();
  if (method->has_sequential_attention()) {
    v1::SequentialAttentionSelector* selector = method->mutable_sequential_attention();
    SET_IF_ABSENT(selector, features_per_step, 1);
    SET_IF_ABSENT(selector, warmup_fraction, 0.0);
    SET_IF_ABSENT(selector, logits_learning_rate_multiplier, 10.0);
  }
  if (method->has_omp()) {
    SET_IF_ABSENT(method->mutable_omp(), features_per_step, 1);
    SET_IF_ABSENT(method->mutable_omp(), gradient_batches, 10);
  }
  if (method->has_sequential_lasso()) {
    SET_IF_ABSENT(method->mutable_sequential_lasso(), features_per_step, 1);
    SET_IF_ABSENT(method->mutable_sequential_lasso(), strength, 0.01);
  }
  if (method->has_group_lasso()) SET_IF_ABSENT(method->mutable_group_lasso(), strength, 0.01);
  if (method->has_liao_latty_yang()) {
    SET_IF_ABSENT(method->mutable_liao_latty_yang(), mask_learning_rate_multiplier, 1.0);
  }
  if (method->has_stochastic_gates()) {
    SET_IF_ABSENT(method->mutable_stochastic_gates(), strength, 0.01);
    SET_IF_ABSENT(method->mutable_stochastic_gates(), deviation, 0.5);
    SET_IF_ABSENT(method->mutable_stochastic_gates(), gates_learning_rate_multiplier, 1.0);
  }
  if (method->has_concrete_autoencoder()) {
    v1::ConcreteAutoencoderSelector* selector = method->mutable_concrete_autoencoder();
    SET_IF_ABSENT(selector, start_temperature, 10.0);
    SET_IF_ABSENT(selector, end_temperature, std::min(0.01, selector->start_temperature()));
    SET_IF_ABSENT(selector, logits_learning_rate_multiplier, 10.0);
  }
  if (TrainsToSelect(*method) && method->length_case() == Method::LENGTH_NOT_SET) {
    if (task.has_steps()) {
      method->set_steps(task.steps());
    } else {
      method->set_epochs(task.epochs());
    }
  }
}

void FillTarget(v1::PruningTarget* target) {
  if (HasStructure(*target)) {
    SET_IF_ZERO(target, min_candidates, 2);
    if (target->structure() == v1::PruningTarget::BRANCHES ||
        target->structure() == v1::PruningTarget::TRANSFORMER_LAYERS) {
      SET_IF_ABSENT(target, protect_first, 1);
      SET_IF_ABSENT(target, protect_last, 1);
    }
  } else {
    SET_IF_ZERO(target, block_rows, target->has_n_of_m() ? 1 : 16);
    SET_IF_ZERO(target, block_cols, target->has_n_of_m() ? 1 : 16);
    SET_IF_ZERO(target, min_blocks, 100);
  }
  if (target->has_latency()) {
    SET_IF_ZERO(target->mutable_latency(), batch_size, 1);
  } else {
    SET_IF_ZERO(target, budget, v1::PruningTarget::UNIFORM);
  }
  if (target->budget() == v1::PruningTarget::SENSITIVITY) {
    v1::Sensitivity* sensitivity = target->mutable_sensitivity();
    SET_IF_ZERO(sensitivity, examples, 1024);
    if (sensitivity->sparsities().empty()) {
      for (const double sparsity : {0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98}) {
        sensitivity->add_sparsities(sparsity);
      }
    }
  }
  SET_IF_ABSENT(target, batch_norm_batches, 100);
  if (target->has_rewind()) {
    SET_IF_ABSENT(target->mutable_rewind(), to_fraction, 0.05);
    SET_IF_ABSENT(target->mutable_rewind(), weights, true);
    SET_IF_ABSENT(target->mutable_rewind(), learning_rate, true);
  }
}

void FillLatency(int32_t batch_size, v1::Outputs* outputs) {
  SET_IF_ABSENT(outputs, latency, true);
  if (!outputs->latency() || outputs->latency_batch_sizes_size() > 0) return;
  outputs->add_latency_batch_sizes(1);
  if (batch_size > 1) outputs->add_latency_batch_sizes(std::min(batch_size, 64));
}

// What was asked for is measured at the end.
void AddLatencyBatch(int32_t batch_size, v1::Outputs* outputs) {
  const auto& sizes = outputs->latency_batch_sizes();
  if (std::find(sizes.begin(), sizes.end(), batch_size) != sizes.end()) return;
  outputs->add_latency_batch_sizes(batch_size);
}

// Method, target and outputs.
void FillMethod(v1::CompressionSpec* spec) {
  if (spec->method_case() == v1::CompressionSpec::METHOD_NOT_SET) {
    spec->mutable_sequential_attention_pp();
  }
  if (spec->has_magnitude()) FillSchedule(spec->mutable_magnitude());
  if (spec->has_ac_dc()) FillAcDc(spec->mutable_ac_dc());
  if (spec->has_fisher_attention()) {
    FillFisherAttention(spec->task().optimizer().weight_decay(), spec->mutable_fisher_attention());
  }
  if (spec->has_group_lasso()) {
    SET_IF_ABSENT(spec->mutable_group_lasso(), strength, 1e-3);
    SET_IF_ABSENT(spec->mutable_group_lasso(), end_fraction, 0.7);
  }
  if (spec->has_iht()) FillStretch(spec->mutable_iht());
  if (spec->has_movement()) FillStretch(spec->mutable_movement());
  if (spec->has_power_propagation()) FillPowerPropagation(spec->mutable_power_propagation());
  if (spec->has_rigl()) FillRigL(spec->mutable_rigl());
  if (spec->has_snip()) SET_IF_ABSENT(spec->mutable_snip(), batches, 1);
  if (spec->has_wanda()) {
    FillCalibration(spec->mutable_wanda());
    if (!HasStructure(spec->target())) {
      SET_IF_ZERO(spec->mutable_wanda(), comparison, v1::WandaMethod::OUTPUT);
    }
  }
  if (spec->has_sparsegpt()) {
    FillQuadratic(spec->mutable_sparsegpt());
    if (!HasStructure(spec->target())) {
      SET_IF_ZERO(spec->mutable_sparsegpt(), chunk_inputs, 128);
    }
  }
  if (spec->has_group_obs()) FillQuadratic(spec->mutable_group_obs());
  if (spec->has_random()) SET_IF_ABSENT(spec->mutable_random(), at_fraction, 0.0);
  if (spec->has_sequential_attention_pp()) {
    FillSequentialAttention(spec->task().optimizer().weight_decay(),
                            spec->mutable_sequential_attention_pp());
  }
  if (spec->has_feature_selection()) {
    FillFeatureSelection(spec->task(), spec->mutable_feature_selection());
  }
  const bool prunes = Prunes(*spec);
  if (prunes) FillTarget(spec->mutable_target());
  if (spec->target().has_accuracy_bound()) {
    SET_IF_ZERO(spec->mutable_target()->mutable_accuracy_bound(), metric,
                static_cast<v1::Task::Metric>(spec->task().metrics(0)));
  }
  const bool trains = !spec->has_evaluate() && !spec->has_benchmark();
  SET_IF_ABSENT(spec->mutable_outputs(), onnx, trains);
  SET_IF_ABSENT(spec->mutable_outputs(), block_sparse, prunes && !HasStructure(spec->target()));
  FillLatency(spec->has_benchmark() ? 64 : spec->task().batch_size(), spec->mutable_outputs());
  if (spec->target().has_latency()) {
    AddLatencyBatch(spec->target().latency().batch_size(), spec->mutable_outputs());
  }
}

void FillRetry(v1::RetryPolicy* retry) {
  SET_IF_ZERO(retry, max_attempts, 3);
  // One that was given must not be passed by the default of the other.
  const bool has_initial = retry->has_initial_backoff();
  if (!has_initial) retry->mutable_initial_backoff()->set_seconds(1);
  if (!retry->has_maximum_backoff()) {
    retry->mutable_maximum_backoff()->set_seconds(60);
    if (retry->maximum_backoff() < retry->initial_backoff()) {
      *retry->mutable_maximum_backoff() = retry->initial_backoff();
    }
  } else if (!has_initial && retry->maximum_backoff() < retry->initial_backoff()) {
    *retry->mutable_initial_backoff() = retry->maximum_backoff();
  }
}

}  // namespace

void FillMetrics(v1::Task* task) {
  if (task->metrics_size() > 0) return;
  if (task->loss() == v1::Task::MEAN_SQUARED_ERROR) {
    task->add_metrics(v1::Task::MEAN_SQUARED_ERROR_METRIC);
    task->add_metrics(v1::Task::R2);
    return;
  }
  task->add_metrics(v1::Task::ACCURACY);
  task->add_metrics(v1::Task::LOG_LOSS);
  if (task->loss() == v1::Task::BINARY_CROSS_ENTROPY) task->add_metrics(v1::Task::AUC);
}

bool Prunes(const v1::CompressionSpec& spec) {
  return !spec.has_dense() && !spec.has_evaluate() && !spec.has_benchmark() &&
         !spec.has_feature_selection();
}

bool TrainsToSelect(const v1::FeatureSelectionMethod& method) {
  return !method.has_random() && !method.has_omp_linear();
}

bool HasStructure(const v1::PruningTarget& target) {
  return target.structure() != v1::PruningTarget::STRUCTURE_UNSPECIFIED;
}

bool PrunesByCalibration(const v1::CompressionSpec& spec) {
  return spec.has_wanda() || spec.has_sparsegpt() || spec.has_group_obs();
}

bool Trains(const v1::CompressionSpec& spec) {
  if (spec.has_evaluate() || spec.has_benchmark()) return false;
  return !PrunesByCalibration(spec) || spec.task().length_case() != v1::Task::LENGTH_NOT_SET;
}

bool HasSparsificationPhase(const v1::SequentialAttentionPlusPlusMethod& method) {
  if (!method.has_phases()) return true;  // Every preset has one.
  const auto& phases = method.phases().phases();
  return std::any_of(phases.begin(), phases.end(), [](const v1::Phase& phase) {
    return phase.kind() == v1::Phase::SPARSIFICATION;
  });
}

void FillDefaults(v1::CompressionSpec* spec) {
  if (spec->model().files_size() == 1) spec->mutable_model()->mutable_files(0)->set_main(true);
  if (!spec->has_benchmark()) {
    FillData(spec->mutable_data());
    FillTask(Trains(*spec), spec->mutable_task());
  }
  FillMethod(spec);
  SET_IF_ZERO(spec->mutable_placement(), device, v1::Placement::CPU);
  FillRetry(spec->mutable_retry());
}

}  // namespace topiary
