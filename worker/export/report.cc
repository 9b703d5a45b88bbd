#include "worker/export/report.h"

#include <nlohmann/json.hpp>

namespace topiary {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = value;
  return json;
}

Json ToJson(const Shape& shape) {
  return std::vector<int64_t>(shape.dims().begin(), shape.dims().end());
}

Json ToJson(const LayerReport& layer) {
  Json json = {{"name", layer.name}, {"node", layer.node}, {"kind", layer.kind}};
  json["shape"] = ToJson(layer.shape);
  json["groups"] = layer.groups;
  json["rows"] = layer.rows;
  json["cols"] = layer.cols;
  json["elements"] = layer.elements;
  json["zero_elements"] = layer.zero_elements;
  json["sparsity"] = layer.sparsity();
  if (layer.sparsity_requested.has_value()) json["sparsity_requested"] = *layer.sparsity_requested;
  if (layer.blocks_total > 0) {
    json["blocks_total"] = layer.blocks_total;
    json["blocks_live"] = layer.blocks_live;
  }
  json["pruned"] = layer.pruned;
  if (!layer.dense_reason.empty()) json["dense_reason"] = layer.dense_reason;
  if (layer.training_break_even_sparsity.has_value()) {
    json["training_break_even_sparsity"] = *layer.training_break_even_sparsity;
  }
  for (const auto& [sparsity, loss] : layer.sensitivity) {
    json["sensitivity"].push_back({{"sparsity", sparsity}, {"loss", loss}});
  }
  json["dense_bytes"] = layer.dense_bytes;
  json["stored_bytes"] = layer.stored_bytes;
  if (layer.flops.has_value()) {
    json["dense_flops"] = layer.flops->first;
    json["flops"] = layer.flops->second;
  }
  return json;
}

Json SparsityJson(const JobReport& report) {
  Json json = Json::object();
  if (report.sparsity_requested.has_value()) json["requested"] = *report.sparsity_requested;
  if (report.latency_requested.has_value()) {
    json["latency_requested"] = {{"ratio", report.latency_requested->ratio},
                                 {"batch", report.latency_requested->batch}};
  }
  json["reached"] = SparsityReached(report.layers);
  if (report.block.has_value()) json["block"] = {report.block->first, report.block->second};
  if (!report.structure.empty()) json["structure"] = report.structure;
  if (!report.budget.empty()) json["budget"] = report.budget;
  if (report.sensitivity_examples.has_value()) {
    json["sensitivity_examples"] = *report.sensitivity_examples;
  }
  return json;
}

Json ToJson(const GroupReport& group) {
  Json json = {{"name", group.name}};
  if (group.candidates > 0) {
    json["candidates"] = group.candidates;
    json["live"] = group.live;
  }
  json["weights"] = group.weights;
  if (!group.pruned.empty()) json["pruned"] = group.pruned;
  if (!group.dense_reason.empty()) json["dense_reason"] = group.dense_reason;
  return json;
}

Json ToJson(const SizeReport& size) {
  Json json = Json::object();
  const auto add = [&](const char* amount, int64_t dense, int64_t reached) {
    Json entry = {{"dense", dense}, {"reached", reached}};
    if (size.amount == amount) {
      entry["requested"] = size.requested;
      if (size.requested_ratio.has_value()) entry["requested_ratio"] = *size.requested_ratio;
    }
    json[amount] = std::move(entry);
  };
  add("parameters", size.dense.parameters, size.reached.parameters);
  add("bytes", size.dense.bytes, size.reached.bytes);
  add("flops", size.dense.flops, size.reached.flops);
  return json;
}

Json TaskJson(const JobReport& report) {
  Json json = {{"loss", report.loss}};
  if (!report.optimizer.empty()) json["optimizer"] = report.optimizer;
  json["seed"] = report.seed;
  json["batch_size"] = report.batch_size;
  json["steps"] = report.steps;
  json["epochs"] = report.epochs;
  json["train_examples"] = report.train_examples;
  json["evaluation_examples"] = report.evaluation_examples;
  return json;
}

Json ToJson(const LatencyStatistics& statistics, int64_t batch) {
  Json json = {{"p50_seconds", statistics.p50}, {"p95_seconds", statistics.p95}};
  if (statistics.mean > 0) {
    json["examples_per_second"] = static_cast<double>(batch) / statistics.mean;
  }
  return json;
}

Json ToJson(const NodeLatencyReport& node) {
  Json json = {{"node", node.node}, {"dense_seconds", node.dense}};
  if (node.block_sparse.has_value()) json["block_sparse_seconds"] = *node.block_sparse;
  return json;
}

Json ToJson(const LatencyReport& latency) {
  Json json = {{"batch", latency.batch},
               {"runs", latency.runs},
               {"dense", ToJson(latency.dense, latency.batch)}};
  if (latency.block_sparse.has_value()) {
    json["block_sparse"] = ToJson(*latency.block_sparse, latency.batch);
    json["speedup"] = latency.dense.p50 / latency.block_sparse->p50;
    json["sparse_weights"] = latency.sparse_weights;
  }
  if (latency.shrunk.has_value()) {
    json["shrunk"] = ToJson(*latency.shrunk, latency.batch);
    json["shrunk_speedup"] = latency.dense.p50 / latency.shrunk->p50;
  }
  if (!latency.break_even_sparsity.empty()) {
    json["break_even_sparsity"] = ToJson(latency.break_even_sparsity);
  }
  for (const NodeLatencyReport& node : latency.nodes) json["nodes"].push_back(ToJson(node));
  if (!latency.warning.empty()) json["warning"] = latency.warning;
  return json;
}

Json ToJson(const ShrunkReport& shrunk) {
  Json json = Json::object();
  if (!shrunk.file.empty()) json["file"] = shrunk.file;
  json.update(
      {{"bytes", shrunk.bytes},
       {"parameters", {{"before", shrunk.parameters_before}, {"after", shrunk.parameters_after}}},
       {"tensors", Json::array()}});
  for (const ShrunkReport::Tensor& tensor : shrunk.tensors) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"before", ToJson(tensor.before)},
                               {"after", ToJson(tensor.after)}});
  }
  return json;
}

Json ToJson(const AccuracyBoundReport& bound) {
  Json json = {{"metric", bound.metric}};
  json[bound.less_is_better ? "at_most" : "at_least"] = bound.limit;
  if (!bound.reference.empty()) {
    json["reference"] = bound.reference;
    json["max_drop"] = bound.max_drop;
  }
  json["met"] = bound.met;
  json["step"] = bound.step;
  if (bound.final_metrics.has_value()) {
    json["final"] = {{"metrics", ToJson(*bound.final_metrics)},
                     {"sparsity", bound.final_sparsity.value_or(0)}};
  }
  return json;
}

Json CostsJson(const CostReport& costs) {
  Json json = {{"steps", costs.steps},
               {"samples", costs.samples},
               {"training_seconds", costs.training_seconds},
               {"evaluation_seconds", costs.evaluation_seconds},
               {"total_seconds", costs.total_seconds},
               {"samples_per_second", costs.samples_per_second()},
               {"memory_estimate_bytes", costs.memory_estimate_bytes}};
  if (costs.training_estimate_seconds.has_value()) {
    json["training_estimate_seconds"] = *costs.training_estimate_seconds;
  }
  return json;
}

Json EnvironmentJson(const EnvironmentReport& environment) {
  Json versions = Json::object();
  versions["topiary"] = environment.topiary_version;
  for (const auto& [name, version] : environment.versions) versions[name] = version;
  return {{"backend", environment.backend},         {"isa", environment.isa},
          {"threads", environment.threads},         {"precision", environment.precision},
          {"plan_digest", environment.plan_digest}, {"versions", versions}};
}

Json ToJson(const std::vector<HistoryEntry>& history) {
  Json json = Json::array();
  for (const HistoryEntry& entry : history) {
    json.push_back({{"step", entry.step},
                    {"epoch", entry.epoch},
                    {"loss", entry.loss},
                    {"sparsity", entry.sparsity},
                    {"metrics", ToJson(entry.metrics)}});
  }
  return json;
}

Json ToJson(const FeatureSelectionReport& selection) {
  Json features = Json::array();
  for (const SelectedFeatureReport& feature : selection.features) {
    Json json = {{"input", feature.input}, {"columns", feature.columns}};
    if (!feature.group.empty()) json["group"] = feature.group;
    if (!feature.names.empty()) json["names"] = feature.names;
    json["step"] = feature.step;
    json["score"] = feature.score;
    features.push_back(std::move(json));
  }
  Json json = {{"selector", selection.selector}, {"candidates", selection.candidates}};
  if (selection.drawn_by_chance) json["drawn_by_chance"] = true;
  json["steps"] = selection.steps;
  json["features"] = std::move(features);
  json["metrics"] = ToJson(selection.metrics);
  json["history"] = ToJson(selection.history);
  return json;
}

}  // namespace

double SparsityReached(const std::vector<LayerReport>& layers) {
  int64_t elements = 0;
  int64_t zero = 0;
  for (const LayerReport& layer : layers) {
    elements += layer.elements;
    zero += layer.zero_elements;
  }
  return elements == 0 ? 0 : static_cast<double>(zero) / static_cast<double>(elements);
}

std::string ReportJson(const JobReport& report) {
  Json json = {{"format", "topiary-report"}, {"format_version", 1}, {"method", report.method}};
  if (report.dry_run) json["dry_run"] = true;
  json["task"] = TaskJson(report);
  json["metrics"] = {{"given", ToJson(report.given_metrics)}};
  if (!report.dense_metrics.empty()) json["metrics"]["dense"] = ToJson(report.dense_metrics);
  if (!report.pruned_metrics.empty()) json["metrics"]["pruned"] = ToJson(report.pruned_metrics);
  if (report.accuracy_bound.has_value()) json["accuracy_bound"] = ToJson(*report.accuracy_bound);
  json["sparsity"] = SparsityJson(report);
  for (const GroupReport& group : report.groups) json["groups"].push_back(ToJson(group));
  if (report.size.has_value()) json["size"] = ToJson(*report.size);
  json["layers"] = Json::array();
  for (const LayerReport& layer : report.layers) json["layers"].push_back(ToJson(layer));
  if (report.feature_selection.has_value()) {
    json["feature_selection"] = ToJson(*report.feature_selection);
  }
  json["phases"] = Json::array();
  for (const PhaseReport& phase : report.phases) {
    json["phases"].push_back({{"kind", phase.kind}, {"begin", phase.begin}, {"end", phase.end}});
  }
  json["history"] = ToJson(report.history);
  json["warnings"] = report.warnings;
  json["files"] = Json::array();
  for (const FileReport& file : report.files) {
    json["files"].push_back(
        {{"name", file.name}, {"kind", file.kind}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  if (report.shrunk.has_value()) json["shrunk"] = ToJson(*report.shrunk);
  json["bit_exact"] = report.bit_exact;
  json["latency"] = Json::array();
  for (const LatencyReport& latency : report.latency) json["latency"].push_back(ToJson(latency));
  json["costs"] = CostsJson(report.costs);
  json["environment"] = EnvironmentJson(report.environment);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace topiary
