#include "worker/pipeline/checkpoint.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/safetensors.h"

namespace topiary {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "topiary-checkpoint";
constexpr char kFormatVersion[] = "3";
constexpr char kState[] = "topiary.checkpoint";
constexpr char kKept[] = "kept/";  // Before the names of the tensors of a kept model.

// JSON has no infinity, which is written as a word, and no NaN, which is written as null.
constexpr char kInfinity[] = "infinity";
constexpr char kMinusInfinity[] = "-infinity";

Json NumberJson(double value) {
  if (std::isinf(value)) return value > 0 ? kInfinity : kMinusInfinity;
  return value;
}

double Number(const Json& json) {
  if (json == kInfinity) return std::numeric_limits<double>::infinity();
  if (json == kMinusInfinity) return -std::numeric_limits<double>::infinity();
  return json.is_number() ? json.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

Json NumbersJson(const std::map<std::string, double>& values) {
  Json json = Json::object();
  for (const auto& [name, value] : values) json[name] = NumberJson(value);
  return json;
}

std::map<std::string, double> NumbersOf(const Json& json) {
  std::map<std::string, double> values;
  if (!json.is_object()) return values;
  for (const auto& [name, value] : json.items()) values[name] = Number(value);
  return values;
}

Json HistoryJson(const std::vector<HistoryEntry>& history) {
  Json json = Json::array();
  for (const HistoryEntry& entry : history) {
    json.push_back({{"step", entry.step},
                    {"epoch", entry.epoch},
                    {"loss", NumberJson(entry.loss)},
                    {"sparsity", entry.sparsity},
                    {"metrics", NumbersJson(entry.metrics)}});
  }
  return json;
}

// A member of `json`, null where there is none.
const Json& Member(const Json& json, const char* name) {
  static const Json* const kNull = new Json();
  const auto found = json.is_object() ? json.find(name) : json.end();
  return json.is_object() && found != json.end() ? *found : *kNull;
}

int64_t Integer(const Json& json) { return json.is_number_integer() ? json.get<int64_t>() : -1; }

std::vector<HistoryEntry> HistoryOf(const Json& json) {
  std::vector<HistoryEntry> history;
  if (!json.is_array()) return history;
  for (const Json& entry : json) {
    history.push_back({Integer(Member(entry, "step")), Number(Member(entry, "epoch")),
                       Number(Member(entry, "loss")), Number(Member(entry, "sparsity")),
                       NumbersOf(Member(entry, "metrics"))});
  }
  return history;
}

Json SensitivityJson(const SensitivityPlan& plan) {
  Json json = {
      {"examples", plan.examples}, {"loss", NumberJson(plan.loss)}, {"curves", Json::object()}};
  for (const auto& [weight, curve] : plan.curves) {
    Json& points = json["curves"][weight] = Json::array();
    for (const SensitivityPoint& point : curve) {
      points.push_back({point.kept, NumberJson(point.loss)});
    }
  }
  return json;
}

SensitivityPlan SensitivityOf(const Json& json) {
  SensitivityPlan plan;
  plan.examples = Integer(Member(json, "examples"));
  plan.loss = Number(Member(json, "loss"));
  const Json& curves = Member(json, "curves");
  if (!curves.is_object()) return plan;
  for (const auto& [weight, points] : curves.items()) {
    SensitivityCurve& curve = plan.curves[weight];
    if (!points.is_array()) continue;
    for (const Json& point : points) {
      if (!point.is_array() || point.size() != 2) continue;
      curve.push_back({Integer(point[0]), Number(point[1])});
    }
  }
  return plan;
}

Json SelectionJson(const SelectionRecord& selection) {
  Json chosen = Json::array();
  for (const ChosenFeature& choice : selection.chosen) {
    chosen.push_back({{"feature", choice.feature}, {"step", choice.step}, {"score", choice.score}});
  }
  return {{"chosen", chosen},
          {"metrics", NumbersJson(selection.metrics)},
          {"history", HistoryJson(selection.history)}};
}

SelectionRecord SelectionOf(const Json& json) {
  SelectionRecord selection;
  if (const Json& chosen = Member(json, "chosen"); chosen.is_array()) {
    for (const Json& choice : chosen) {
      selection.chosen.push_back({Integer(Member(choice, "feature")),
                                  Integer(Member(choice, "step")),
                                  static_cast<float>(Number(Member(choice, "score")))});
    }
  }
  selection.metrics = NumbersOf(Member(json, "metrics"));
  selection.history = HistoryOf(Member(json, "history"));
  return selection;
}

Json RecordJson(const JobRecord& record) {
  Json json = {{"given_metrics", NumbersJson(record.given_metrics)}};
  if (record.dense_metrics.has_value()) json["dense_metrics"] = NumbersJson(*record.dense_metrics);
  if (record.selection.has_value()) json["selection"] = SelectionJson(*record.selection);
  json["history"] = HistoryJson(record.history);
  json["loss_sum"] = record.loss_sum;
  json["loss_steps"] = record.loss_steps;
  json["training_seconds"] = record.training_seconds;
  json["evaluation_seconds"] = record.evaluation_seconds;
  json["samples"] = record.samples;
  if (record.plan.has_value()) {
    json["plan"] = {{"break_evens", NumbersJson(record.plan->break_evens)},
                    {"sparsities", NumbersJson(record.plan->sparsities)}};
    if (record.plan->sensitivity.has_value()) {
      json["plan"]["sensitivity"] = SensitivityJson(*record.plan->sensitivity);
    }
    if (record.plan->global_sparsity.has_value()) {
      json["plan"]["global_sparsity"] = *record.plan->global_sparsity;
    }
  }
  if (record.kept.has_value()) {
    json["kept"] = {{"step", record.kept->step},
                    {"sparsity", record.kept->sparsity},
                    {"metrics", NumbersJson(record.kept->metrics)}};
  }
  json["bit_exact"] = record.bit_exact;
  return json;
}

JobRecord RecordOf(const Json& json) {
  JobRecord record;
  record.given_metrics = NumbersOf(Member(json, "given_metrics"));
  if (Member(json, "dense_metrics").is_object()) {
    record.dense_metrics = NumbersOf(Member(json, "dense_metrics"));
  }
  if (Member(json, "selection").is_object()) {
    record.selection = SelectionOf(Member(json, "selection"));
  }
  record.history = HistoryOf(Member(json, "history"));
  record.loss_sum = Number(Member(json, "loss_sum"));
  record.loss_steps = Integer(Member(json, "loss_steps"));
  record.training_seconds = Number(Member(json, "training_seconds"));
  record.evaluation_seconds = Number(Member(json, "evaluation_seconds"));
  record.samples = Integer(Member(json, "samples"));
  if (const Json& plan = Member(json, "plan"); plan.is_object()) {
    record.plan.emplace();
    record.plan->break_evens = NumbersOf(Member(plan, "break_evens"));
    record.plan->sparsities = NumbersOf(Member(plan, "sparsities"));
    if (const Json& sensitivity = Member(plan, "sensitivity"); sensitivity.is_object()) {
      record.plan->sensitivity = SensitivityOf(sensitivity);
    }
    if (const Json& sparsity = Member(plan, "global_sparsity"); sparsity.is_number()) {
      record.plan->global_sparsity = Number(sparsity);
    }
  }
  if (const Json& kept = Member(json, "kept"); kept.is_object()) {
    record.kept = KeptModel{Integer(Member(kept, "step")), Number(Member(kept, "sparsity")),
                            NumbersOf(Member(kept, "metrics")), nullptr};
  }
  record.bit_exact =
      Member(json, "bit_exact").is_boolean() && Member(json, "bit_exact").get<bool>();
  return record;
}

absl::Status NotACheckpoint(const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("'", path, "' is no checkpoint: ", why));
}

}  // namespace

absl::Status WriteCheckpoint(Checkpoint checkpoint, const std::string& path) {
  const Json state = {{"method", checkpoint.method},
                      {"first_of_two", checkpoint.first_of_two},
                      {"step", checkpoint.step},
                      {"plan_digest", checkpoint.plan_digest},
                      {"record", RecordJson(checkpoint.record)}};
  SafetensorsFile file;
  file.metadata = {{"format", kFormat},
                   {"format_version", kFormatVersion},
                   {kState, state.dump(-1, ' ', false, Json::error_handler_t::replace)}};
  for (auto& [name, tensor] : checkpoint.training) {
    file.tensors.emplace_back(name, std::move(tensor));
  }
  if (checkpoint.record.kept.has_value()) {
    for (const auto& [name, tensor] : *checkpoint.record.kept->state) {
      file.tensors.emplace_back(absl::StrCat(kKept, name), tensor.Clone());
    }
  }
  return WriteSafetensors(file, path);
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  ASSIGN_OR_RETURN(SafetensorsFile file, ReadSafetensors(path));
  if (file.metadata["format"] != kFormat || file.metadata["format_version"] != kFormatVersion) {
    return NotACheckpoint(path, "its format is not topiary-checkpoint 3");
  }
  const Json state = Json::parse(file.metadata[kState], nullptr, /*allow_exceptions=*/false);
  Checkpoint checkpoint;
  if (!Member(state, "method").is_string() || !Member(state, "plan_digest").is_string() ||
      !Member(state, "first_of_two").is_boolean() || Integer(Member(state, "step")) < 0) {
    return NotACheckpoint(path, "its state is not the JSON expected");
  }
  checkpoint.method = state["method"].get<std::string>();
  checkpoint.first_of_two = state["first_of_two"].get<bool>();
  checkpoint.step = Integer(state["step"]);
  checkpoint.plan_digest = state["plan_digest"].get<std::string>();
  checkpoint.record = RecordOf(Member(state, "record"));
  MethodState kept;
  for (auto& [name, tensor] : file.tensors) {
    if (absl::StartsWith(name, kKept)) {
      kept.emplace(name.substr(sizeof(kKept) - 1), std::move(tensor));
    } else {
      checkpoint.training.emplace(name, std::move(tensor));
    }
  }
  if (checkpoint.record.kept.has_value()) {
    checkpoint.record.kept->state = std::make_shared<const MethodState>(std::move(kept));
  }
  return checkpoint;
}

}  // namespace topiary
