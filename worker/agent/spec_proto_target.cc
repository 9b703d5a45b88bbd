#include <algorithm>
#include <cstdint>
#include <optional>

#include "common/status_macros.h"
#include "worker/agent/spec_proto_parts.h"

namespace topiary {
namespace {

absl::StatusOr<std::optional<Structure>> ConvertStructure(v1::PruningTarget::Structure structure) {
  switch (structure) {
    case v1::PruningTarget::STRUCTURE_UNSPECIFIED:
      return std::nullopt;
    case v1::PruningTarget::CHANNELS:
      return Structure::kChannels;
    case v1::PruningTarget::NEURONS:
      return Structure::kNeurons;
    case v1::PruningTarget::HEADS:
      return Structure::kHeads;
    case v1::PruningTarget::BRANCHES:
      return Structure::kBranches;
    case v1::PruningTarget::TRANSFORMER_LAYERS:
      return Structure::kTransformerLayers;
    case v1::PruningTarget::EMBEDDING_DIMENSIONS:
      return Structure::kEmbeddingDimensions;
    case v1::PruningTarget::EMBEDDING_ROWS:
      return Structure::kEmbeddingRows;
    case v1::PruningTarget::EMBEDDING_TABLES:
      return Structure::kEmbeddingTables;
    default:
      return UnknownValue("spec.target.structure");
  }
}

SizeBudgetSpec ConvertSizeBudget(SizeBudgetSpec::Amount amount, const v1::SizeBudget& budget) {
  SizeBudgetSpec out;
  out.amount = amount;
  if (budget.has_ratio()) out.ratio = budget.ratio();
  out.count = budget.count();
  return out;
}

absl::Status ConvertAmount(const v1::PruningTarget& target, PruningTargetSpec* out) {
  using Amount = SizeBudgetSpec::Amount;
  switch (target.amount_case()) {
    case v1::PruningTarget::kSparsity:
      out->sparsity = target.sparsity();
      return absl::OkStatus();
    case v1::PruningTarget::kLatency:
      out->latency = LatencyBudgetSpec{target.latency().ratio(),
                                       std::max<int64_t>(1, target.latency().batch_size())};
      return absl::OkStatus();
    case v1::PruningTarget::kParameters:
      out->size = ConvertSizeBudget(Amount::kParameters, target.parameters());
      return absl::OkStatus();
    case v1::PruningTarget::kBytes:
      out->size = ConvertSizeBudget(Amount::kBytes, target.bytes());
      return absl::OkStatus();
    case v1::PruningTarget::kFlops:
      out->size = ConvertSizeBudget(Amount::kFlops, target.flops());
      return absl::OkStatus();
    case v1::PruningTarget::kNOfM:
      out->n_of_m = NOfM{target.n_of_m().n(), target.n_of_m().m()};
      out->sparsity = out->n_of_m->sparsity();
      out->block_rows = out->block_cols = 1;
      return absl::OkStatus();
    case v1::PruningTarget::AMOUNT_NOT_SET:
      break;
  }
  return UnknownValue("spec.target.amount");
}

LayerTarget ConvertLayerTarget(const v1::LayerTarget& target) {
  LayerTarget out;
  out.pattern = target.pattern();
  if (target.has_sparsity()) {
    out.min_sparsity = out.max_sparsity = target.sparsity();
    return out;
  }
  if (target.has_min_sparsity()) out.min_sparsity = target.min_sparsity();
  if (target.has_max_sparsity()) out.max_sparsity = target.max_sparsity();
  return out;
}

absl::StatusOr<AccuracyBoundSpec> ConvertAccuracyBound(const v1::AccuracyBound& bound) {
  AccuracyBoundSpec out;
  ASSIGN_OR_RETURN(out.metric, ConvertMetric(bound.metric()));
  switch (bound.limit_case()) {
    case v1::AccuracyBound::kValue:
      out.reference = AccuracyBoundSpec::Reference::kNone;
      out.limit = bound.value();
      return out;
    case v1::AccuracyBound::kMaxDropFromGiven:
      out.reference = AccuracyBoundSpec::Reference::kGiven;
      out.limit = bound.max_drop_from_given();
      return out;
    case v1::AccuracyBound::kMaxDropFromDense:
      out.reference = AccuracyBoundSpec::Reference::kDense;
      out.limit = bound.max_drop_from_dense();
      return out;
    case v1::AccuracyBound::LIMIT_NOT_SET:
      break;
  }
  return UnknownValue("spec.target.accuracy_bound.limit");
}

}  // namespace

absl::StatusOr<PruningTargetSpec> ConvertTarget(const v1::PruningTarget& target) {
  PruningTargetSpec out;
  RETURN_IF_ERROR(ConvertAmount(target, &out));
  if (target.block_rows() > 0) out.block_rows = target.block_rows();
  if (target.block_cols() > 0) out.block_cols = target.block_cols();
  switch (target.budget()) {
    case v1::PruningTarget::BUDGET_UNSPECIFIED:
    case v1::PruningTarget::UNIFORM:
      out.budget = BudgetKind::kUniform;
      break;
    case v1::PruningTarget::GLOBAL:
      out.budget = BudgetKind::kGlobal;
      break;
    case v1::PruningTarget::ERK:
      out.budget = BudgetKind::kErk;
      break;
    case v1::PruningTarget::SENSITIVITY:
      out.budget = BudgetKind::kSensitivity;
      out.sensitivity.examples = target.sensitivity().examples();
      out.sensitivity.sparsities.assign(target.sensitivity().sparsities().begin(),
                                        target.sensitivity().sparsities().end());
      break;
    default:
      return UnknownValue("spec.target.budget");
  }
  if (target.has_accuracy_bound()) {
    ASSIGN_OR_RETURN(out.accuracy_bound, ConvertAccuracyBound(target.accuracy_bound()));
  }
  for (const v1::LayerTarget& layer : target.layer_targets()) {
    out.layer_targets.push_back(ConvertLayerTarget(layer));
  }
  out.include_layers.assign(target.include_layers().begin(), target.include_layers().end());
  out.exclude_layers.assign(target.exclude_layers().begin(), target.exclude_layers().end());
  if (target.min_blocks() > 0) out.min_blocks = target.min_blocks();
  if (target.has_rewind()) {
    RewindSpec& rewind = out.rewind.emplace();
    const v1::Rewind& given = target.rewind();
    if (given.has_to_fraction()) rewind.to_fraction = given.to_fraction();
    if (given.has_weights()) rewind.weights = given.weights();
    if (given.has_learning_rate()) rewind.learning_rate = given.learning_rate();
  }
  ASSIGN_OR_RETURN(out.structure, ConvertStructure(target.structure()));
  if (target.min_candidates() > 0) out.min_candidates = target.min_candidates();
  if (target.has_protect_first()) out.protect_first = target.protect_first();
  if (target.has_protect_last()) out.protect_last = target.protect_last();
  if (target.has_batch_norm_batches()) out.batch_norm_batches = target.batch_norm_batches();
  return out;
}

}  // namespace topiary
