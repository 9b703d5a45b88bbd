#include "server/api/sweep_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "common/digest.h"
#include "google/protobuf/util/json_util.h"
#include "server/api/pareto_front.h"
#include "server/api/serialize.h"
#include "topiary/v1/jobs.pb.h"
#include "topiary/v1/spec.pb.h"

namespace topiary {
namespace {

using Json = nlohmann::ordered_json;
using Metrics = std::map<std::string, double>;

// A child and its messages.
struct Child {
  const Job* job = nullptr;
  v1::CompressionSpec spec;             // without its method
  size_t method = 0;                    // in Methods
  std::optional<v1::JobResult> result;  // of one that succeeded
  std::optional<v1::JobResult> missed;  // of one that missed its accuracy bound
  Metrics metrics;                      // of the model that it made
  ModelMerit merit;
};

struct MainMetric {
  std::string name;
  bool lower_is_better = false;

  double QualityOf(double value) const {
    if (!std::isfinite(value)) return ModelMerit().quality;
    return lower_is_better ? -value : value;
  }
};

MainMetric MainMetricOf(v1::Task::Metric metric) {
  switch (metric) {
    case v1::Task::ACCURACY:
      return {"accuracy"};
    case v1::Task::TOP5_ACCURACY:
      return {"top5_accuracy"};
    case v1::Task::LOG_LOSS:
      return {"log_loss", true};
    case v1::Task::AUC:
      return {"auc"};
    case v1::Task::MEAN_SQUARED_ERROR_METRIC:
      return {"mean_squared_error", true};
    case v1::Task::R2:
      return {"r2"};
    default:
      return {};
  }
}

// The size of the smallest file that is a model; none where the job left no model.
std::optional<int64_t> ModelBytes(const v1::JobResult& result) {
  std::optional<int64_t> bytes;
  for (const v1::ResultFile& file : result.files()) {
    const bool is_model = file.kind() == v1::ResultFile::ONNX ||
                          file.kind() == v1::ResultFile::SHRUNK_ONNX ||
                          file.kind() == v1::ResultFile::BLOCK_SPARSE;
    if (is_model) bytes = std::min(bytes.value_or(file.size_bytes()), file.size_bytes());
  }
  return bytes;
}

double Find(const Metrics& metrics, const std::string& name) {
  const auto found = metrics.find(name);
  return found == metrics.end() ? std::nan("") : found->second;
}

// ---- What a child was to do

// The methods of children, each once.
class Methods {
 public:
  // Takes the method off `spec`; the same one always gets the same number.
  size_t Take(v1::CompressionSpec* spec) {
    v1::CompressionSpec method;
    const auto* field = FieldOf(*spec);
    if (field != nullptr) {
      const std::vector<const google::protobuf::FieldDescriptor*> fields = {field};
      v1::CompressionSpec::GetReflection()->SwapFields(spec, &method, fields);
    }
    const auto [place, is_new] =
        places_.emplace(SerializeDeterministically(method), methods_.size());
    if (is_new) methods_.push_back({{"name", NameOf(method)}, {"options", OptionsJson(method)}});
    return place->second;
  }

  std::string Name(size_t method) const { return methods_[method]["name"]; }
  const Json& json() const { return methods_; }

 private:
  static const google::protobuf::FieldDescriptor* FieldOf(const v1::CompressionSpec& spec) {
    return v1::CompressionSpec::descriptor()->FindFieldByNumber(spec.method_case());
  }

  static std::string NameOf(const v1::CompressionSpec& spec) {
    const auto* field = FieldOf(spec);
    return field == nullptr ? "" : field->name();
  }

  static Json OptionsJson(const v1::CompressionSpec& spec) {
    const auto* field = FieldOf(spec);
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string text;
    if (field == nullptr ||
        !google::protobuf::util::MessageToJsonString(
             v1::CompressionSpec::GetReflection()->GetMessage(spec, field), &text, options)
             .ok()) {
      return Json::object();
    }
    const Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    return parsed.is_object() ? parsed : Json::object();
  }

  Json methods_ = Json::array();
  std::map<std::string, size_t> places_;  // by the bytes of a spec that has the method alone
};

Child ReadChild(const Job& job, Methods* methods) {
  Child child;
  child.job = &job;
  child.spec.ParseFromString(job.spec);
  child.method = methods->Take(&child.spec);
  v1::JobResult result;
  if (job.result.empty() || !result.ParseFromString(job.result)) return child;
  if (job.state != JobState::kSucceeded) {
    if (job.reason == JobReason::kAccuracyBound) child.missed = std::move(result);
    return child;
  }
  const auto& metrics =
      result.pruned_metrics().empty() ? result.dense_metrics() : result.pruned_metrics();
  child.metrics.insert(metrics.begin(), metrics.end());
  child.result = std::move(result);
  return child;
}

ModelMerit MeritOf(const Child& child, const MainMetric& metric) {
  ModelMerit merit;
  if (!child.result.has_value()) return merit;
  merit.quality = metric.QualityOf(Find(child.metrics, metric.name));
  merit.sparsity = child.result->sparsity_reached();
  const std::optional<int64_t> bytes = ModelBytes(*child.result);
  if (bytes.has_value()) merit.bytes = static_cast<double>(*bytes);
  return merit;
}

// All but the seed.
void AddSettings(const Child& child, const Methods& methods, Json* row) {
  const v1::CompressionSpec& spec = child.spec;
  (*row)["method"] = methods.Name(child.method);
  (*row)["method_index"] = child.method;
  if (spec.target().has_sparsity()) (*row)["sparsity_requested"] = spec.target().sparsity();
  if (spec.target().block_rows() > 0) {
    (*row)["block"] = {spec.target().block_rows(), spec.target().block_cols()};
  }
}

// ---- What it came to

template <typename Map>
Json ValuesJson(const Map& values) {
  const Metrics sorted(values.begin(), values.end());
  Json json = Json::object();
  for (const auto& [name, value] : sorted) json[name] = value;
  return json;
}

std::string FileKind(v1::ResultFile::Kind kind) {
  const std::string& name = v1::ResultFile::Kind_Name(kind);
  return name.empty() ? std::to_string(kind) : name;
}

void AddResult(const v1::JobResult& result, Json* row) {
  if (result.has_sparsity_reached()) (*row)["sparsity_reached"] = result.sparsity_reached();
  Json& metrics = (*row)["metrics"] = Json::object();
  if (!result.given_metrics().empty()) metrics["given"] = ValuesJson(result.given_metrics());
  if (!result.dense_metrics().empty()) metrics["dense"] = ValuesJson(result.dense_metrics());
  if (!result.pruned_metrics().empty()) metrics["pruned"] = ValuesJson(result.pruned_metrics());
  const std::optional<int64_t> bytes = ModelBytes(result);
  if (bytes.has_value()) (*row)["bytes"] = *bytes;
  Json& files = (*row)["files"] = Json::array();
  for (const v1::ResultFile& file : result.files()) {
    files.push_back({{"name", file.filename()},
                     {"kind", FileKind(file.kind())},
                     {"bytes", file.size_bytes()},
                     {"sha256", file.digest()}});
  }
}

bool IsBitExact(const Child& child) { return child.job->bit_exact && child.result->bit_exact(); }

Json ChildJson(const Child& child, const Methods& methods, bool front) {
  const Job& job = *child.job;
  Json row = {{"job", ToString(job.name())}, {"state", std::string(JobStateName(job.state))}};
  AddSettings(child, methods, &row);
  row["seed"] = child.spec.task().seed();
  if (child.result.has_value()) {
    AddResult(*child.result, &row);
    row["bit_exact"] = IsBitExact(child);
    row["front"] = front;
  } else {
    row["reason"] = std::string(JobReasonName(job.reason));
    row["error"] = job.failure.failed()                ? job.failure.message
                   : job.state == JobState::kSucceeded ? "the stored result cannot be read"
                                                       : "";
    if (child.missed.has_value()) AddResult(*child.missed, &row);
  }
  return row;
}

// ---- Means over seeds

// Of equal values that value: a sum of them may round to another, which would decide a front.
double Mean(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (*least == *most) return *least;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// The standard deviation is that of a sample, and absent where there is but one value.
Json SpreadJson(const std::vector<double>& values) {
  const double mean = Mean(values);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  Json json = {{"mean", mean}};
  if (values.size() > 1) {
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    json["standard_deviation"] = std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
  json["minimum"] = *least;
  json["maximum"] = *most;
  return json;
}

// Children that differ in their seed alone.
struct Group {
  std::vector<const Child*> children;
  std::map<std::string, std::vector<double>> metrics;  // of those that succeeded
  std::vector<double> sparsities;
  std::vector<double> bytes;

  void Add(const Child& child) {
    children.push_back(&child);
    if (!child.result.has_value()) return;
    for (const auto& [name, value] : child.metrics) metrics[name].push_back(value);
    sparsities.push_back(child.result->sparsity_reached());
    const std::optional<int64_t> size = ModelBytes(*child.result);
    if (size.has_value()) bytes.push_back(static_cast<double>(*size));
  }

  ModelMerit MeritOf(const MainMetric& metric) const {
    ModelMerit merit;
    const auto values = metrics.find(metric.name);
    if (values == metrics.end()) return merit;
    merit.quality = metric.QualityOf(Mean(values->second));
    merit.sparsity = Mean(sparsities);
    if (!bytes.empty()) merit.bytes = Mean(bytes);
    return merit;
  }
};

std::vector<Group> GroupBySettings(const std::vector<Child>& children) {
  std::vector<Group> groups;
  std::map<std::pair<size_t, std::string>, size_t> places;
  for (const Child& child : children) {
    v1::CompressionSpec settings = child.spec;
    settings.mutable_task()->clear_seed();
    const auto [place, is_new] = places.emplace(
        std::make_pair(child.method, SerializeDeterministically(settings)), groups.size());
    if (is_new) groups.emplace_back();
    groups[place->second].Add(child);
  }
  return groups;
}

Json GroupJson(const Group& group, const Methods& methods, bool front) {
  Json row = Json::object();
  AddSettings(*group.children[0], methods, &row);
  row["seeds"] = Json::array();
  row["jobs"] = Json::array();
  for (const Child* child : group.children) {
    row["seeds"].push_back(child->spec.task().seed());
    row["jobs"].push_back(ToString(child->job->name()));
  }
  row["succeeded"] = group.sparsities.size();
  if (group.sparsities.empty()) return row;
  row["metrics"] = Json::object();
  for (const auto& [name, values] : group.metrics) row["metrics"][name] = SpreadJson(values);
  row["sparsity_reached"] = SpreadJson(group.sparsities);
  if (!group.bytes.empty()) row["bytes"] = SpreadJson(group.bytes);
  row["front"] = front;
  return row;
}

// ---- All of it

std::string ResultOf(const std::vector<Child>& children, const std::string& json,
                     const std::string& digest) {
  v1::JobResult result;
  v1::ResultFile* file = result.add_files();
  file->set_kind(v1::ResultFile::REPORT);
  file->set_filename("report.json");
  file->set_digest(digest);
  file->set_size_bytes(static_cast<int64_t>(json.size()));
  result.set_bit_exact(std::all_of(children.begin(), children.end(), [](const Child& child) {
    return !child.result.has_value() || IsBitExact(child);
  }));
  return SerializeDeterministically(result);
}

}  // namespace

SweepReport MakeSweepReport(const Job& sweep, const std::vector<Job>& jobs) {
  Methods methods;
  std::vector<Child> children;
  for (const Job& job : jobs) children.push_back(ReadChild(job, &methods));
  // All children have the same task but for the seed.
  MainMetric metric;
  if (!children.empty() && children[0].spec.task().metrics_size() > 0) {
    metric = MainMetricOf(children[0].spec.task().metrics(0));
  }
  std::vector<ModelMerit> merits;
  for (const Child& child : children) merits.push_back(MeritOf(child, metric));
  const std::vector<bool> front = ParetoFront(merits);
  const std::vector<Group> groups = GroupBySettings(children);
  std::vector<ModelMerit> group_merits;
  for (const Group& group : groups) group_merits.push_back(group.MeritOf(metric));
  const std::vector<bool> group_front = ParetoFront(group_merits);

  Json json = {
      {"format", "topiary-sweep-report"},
      {"format_version", 2},
      {"sweep", ToString(sweep.name())},
      {"metric", {{"name", metric.name}, {"better", metric.lower_is_better ? "lower" : "higher"}}}};
  json["methods"] = methods.json();
  json["children"] = Json::array();
  for (size_t i = 0; i < children.size(); ++i) {
    json["children"].push_back(ChildJson(children[i], methods, front[i]));
  }
  json["groups"] = Json::array();
  for (size_t i = 0; i < groups.size(); ++i) {
    json["groups"].push_back(GroupJson(groups[i], methods, group_front[i]));
  }
  SweepReport report;
  report.json = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  report.digest = Sha256Hex(report.json);
  report.result = ResultOf(children, report.json, report.digest);
  return report;
}

}  // namespace topiary
