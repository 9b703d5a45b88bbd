#include "worker/pipeline/prepared_data.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/data/readers.h"
#include "worker/data/scaling.h"
#include "worker/engine/program.h"
#include "worker/model/id_limits.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

CsvSource CsvSourceOf(const CsvSourceSpec& spec, LossSpec loss, const std::string& input) {
  CsvSource source;
  source.path = spec.path;
  source.has_header = spec.header;
  source.delimiter = spec.delimiter;
  source.input = input;
  source.labels_are_classes = loss == LossSpec::kCrossEntropy;
  for (const CsvColumnSpec& column : spec.columns) {
    switch (column.role) {
      case CsvColumnSpec::Role::kFeature:
        source.feature_columns.push_back(column.column);
        break;
      case CsvColumnSpec::Role::kLabel:
        source.label_column = column.column;
        break;
      case CsvColumnSpec::Role::kIgnore:
        source.ignored_columns.push_back(column.column);
        break;
    }
  }
  if (!source.label_column.has_value()) {
    source.label_column = -1;
    source.label_is_default = true;
  }
  return source;
}

// Of a model with several inputs each is fed by the array of its own name.
absl::StatusOr<NpzSource> NpzSourceOf(const NpzSourceSpec& spec,
                                      const DataRequirements& requirements) {
  NpzSource source;
  source.path = spec.path;
  source.labels = spec.label_array;
  const bool only = requirements.inputs.size() == 1;
  if (!only && spec.input_array != NpzSourceSpec().input_array) {
    return absl::InvalidArgumentError(absl::StrCat(
        "input_array is for models of one input; this one has ", requirements.inputs.size(),
        ", each fed by the array of its name: leave it out"));
  }
  for (const DataRequirements::Input& input : requirements.inputs) {
    source.inputs.push_back(
        {only ? spec.input_array : input.name, input.name, input.dtype == DType::kInt64});
    if (source.inputs.back().array != spec.label_array) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "array '", spec.label_array, "' is that of the labels (label_array), but would also feed ",
        "the model's input '", input.name,
        "': give the labels in an array of another name, and that name in label_array"));
  }
  return source;
}

absl::StatusOr<Dataset> Read(const DataSourceSpec& spec, LossSpec loss,
                             const DataRequirements& requirements,
                             const std::vector<std::string>& class_names,
                             const ReadLimits& limits) {
  if (const auto* npz = std::get_if<NpzSourceSpec>(&spec)) {
    ASSIGN_OR_RETURN(const NpzSource source, NpzSourceOf(*npz, requirements));
    return ReadNpz(source, limits);
  }
  if (requirements.inputs.size() != 1 || requirements.inputs[0].dtype != DType::kFloat32) {
    return absl::InvalidArgumentError(
        "the format holds the numbers of one input, but the model has several or one of int64: "
        "give an .npz file with an array for each input, named like it");
  }
  const std::string& input = requirements.inputs[0].name;
  if (const auto* idx = std::get_if<IdxSourceSpec>(&spec)) {
    return ReadIdx({idx->images_path, idx->labels_path, input}, limits);
  }
  CsvSource source = CsvSourceOf(std::get<CsvSourceSpec>(spec), loss, input);
  source.class_names = class_names;
  return ReadCsv(source, limits);
}

// The name of the field that is set.
absl::string_view FormatOf(const DataSourceSpec& spec) {
  if (std::holds_alternative<NpzSourceSpec>(spec)) return "npz";
  return std::holds_alternative<IdxSourceSpec>(spec) ? "idx" : "csv";
}

absl::Status In(const std::string& source, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(source, ": ", status.message()));
}

absl::Status CheckBinary(const std::string& source, const DataArray& labels) {
  const absl::Span<const float> values = labels.values.span<float>();
  const auto per_row = static_cast<size_t>(labels.ExampleShape().element_count());
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] != 0 && values[i] != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          source, ": ", labels.Described(), " has the label ", values[i], " in row ", i / per_row,
          " (counted from 0), which is neither 0 nor 1, as ", "binary_cross_entropy needs"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Dataset> ReadAndConform(const std::string& source, const DataSourceSpec& spec,
                                       LossSpec loss, const DataRequirements& requirements,
                                       const std::vector<std::string>& class_names,
                                       const ReadLimits& limits) {
  absl::StatusOr<Dataset> read = Read(spec, loss, requirements, class_names, limits);
  if (!read.ok()) return In(absl::StrCat(source, ".", FormatOf(spec)), read.status());
  Dataset data = *std::move(read);
  if (!data.has_labels()) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": there are no labels"));
  }
  RETURN_IF_ERROR(ConformDataset(source, requirements, data));
  if (loss == LossSpec::kBinaryCrossEntropy) {
    RETURN_IF_ERROR(CheckBinary(source, data.labels));
  }
  return data;
}

ScalingOptions ScalingOptionsOf(const DataSpec& spec) {
  ScalingOptions options;
  options.divide_by = spec.divide_by;
  switch (spec.normalization.kind) {
    case NormalizationSpec::Kind::kNone:
      break;
    case NormalizationSpec::Kind::kGiven:
      options.normalize = ScalingOptions::Normalize::kConstant;
      options.mean = spec.normalization.mean;
      options.standard_deviation = spec.normalization.standard_deviation;
      break;
    case NormalizationSpec::Kind::kFitted:
      switch (spec.normalization.axis) {
        case NormalizationSpec::Axis::kAll:
          options.normalize = ScalingOptions::Normalize::kFitOverall;
          break;
        case NormalizationSpec::Axis::kChannel:
          options.normalize = ScalingOptions::Normalize::kFitPerChannel;
          break;
        case NormalizationSpec::Axis::kFeature:
          options.normalize = ScalingOptions::Normalize::kFitPerFeature;
          break;
      }
      break;
  }
  return options;
}

// Ids are taken as they are; scaling that is asked for of ids alone would do nothing.
absl::Status CheckScaling(const DataSpec& spec, const DataRequirements& requirements) {
  for (const DataRequirements::Input& input : requirements.inputs) {
    if (input.dtype == DType::kFloat32) return absl::OkStatus();
  }
  constexpr absl::string_view kWhy =
      ": every input of the model is of ids (int64), which are not scaled: leave it out";
  if (spec.divide_by != 1) {
    return absl::InvalidArgumentError(absl::StrCat("spec.data.divide_by", kWhy));
  }
  if (spec.normalization.kind != NormalizationSpec::Kind::kNone) {
    return absl::InvalidArgumentError(absl::StrCat("spec.data.normalization", kWhy));
  }
  return absl::OkStatus();
}

int64_t BytesOf(const Dataset& data) {
  auto bytes = static_cast<int64_t>(data.labels.values.byte_size());
  for (const DataArray& input : data.inputs) {
    bytes += static_cast<int64_t>(input.values.byte_size());
  }
  return bytes;
}

absl::StatusOr<Shape> OutputShape(const Graph& graph) {
  ASSIGN_OR_RETURN(const auto input_shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, input_shapes));
  const std::string& name = graph.outputs[0].name;
  const auto found = inferred.values.find(name);
  if (found == inferred.values.end() || found->second.dtype != DType::kFloat32 ||
      found->second.shape.rank() < 1 || found->second.shape[0] != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("output '", name, "' is not float32 with the batch as its first axis"));
  }
  if (found->second.shape.element_count() == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "output '", name, "' has shape ", found->second.shape.ToString(), ": there is nothing"));
  }
  return found->second.shape;
}

}  // namespace

absl::StatusOr<DataRequirements> RequirementsOf(const Graph& graph, LossSpec loss) {
  if (graph.inputs.empty() || graph.outputs.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the model has ", graph.inputs.size(), " inputs and ", graph.outputs.size(),
                     " outputs: it must have inputs, and one output"));
  }
  ASSIGN_OR_RETURN(const auto input_shapes, InputShapesForBatch(graph, 1));
  ASSIGN_OR_RETURN(const auto id_limits, FindIdLimits(graph));
  ASSIGN_OR_RETURN(const Shape output, OutputShape(graph));
  DataRequirements requirements;
  for (const ValueInfo& input : graph.inputs) {
    if (input.dtype != DType::kFloat32 && input.dtype != DType::kInt64) {
      return absl::UnimplementedError(absl::StrCat(
          "input '", input.name, "' is ", DTypeName(input.dtype), ": it must be float32 or int64"));
    }
    const absl::Span<const int64_t> dims(input_shapes.at(input.name).dims());
    if (dims.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("input '", input.name, "' has no axis for the batch"));
    }
    requirements.inputs.push_back({input.name, input.dtype, Shape(dims.subspan(1))});
    const auto limits = id_limits.find(input.name);
    if (limits != id_limits.end()) requirements.inputs.back().id_limits = limits->second;
  }
  const absl::Span<const int64_t> outputs(output.dims());
  if (loss != LossSpec::kCrossEntropy) {
    requirements.label_shape = Shape(outputs.subspan(1));
    return requirements;
  }
  const int class_axis = ClassAxis(output);
  requirements.class_count = class_axis < 0 ? 0 : output[class_axis];
  if (requirements.class_count < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("output '", graph.outputs[0].name, "' has shape ", output.ToString(),
                     " for one example: cross_entropy needs [1, classes] or [1, length, classes] "
                     "with 2 classes or more"));
  }
  if (class_axis == 2) requirements.label_shape = Shape({output[1]});
  return requirements;
}

int64_t PreparedData::bytes() const { return BytesOf(train) + BytesOf(evaluation); }

absl::StatusOr<PreparedData> PrepareData(const DataSpec& spec, LossSpec loss, uint64_t seed,
                                         const DataRequirements& requirements,
                                         int64_t memory_limit_bytes,
                                         const std::function<absl::Status()>& check) {
  ReadLimits limits;
  if (memory_limit_bytes > 0) limits.max_bytes = std::min(limits.max_bytes, memory_limit_bytes);
  PreparedData data;
  RETURN_IF_ERROR(CheckScaling(spec, requirements));
  RETURN_IF_ERROR(check());
  ASSIGN_OR_RETURN(data.train,
                   ReadAndConform("spec.data.train", spec.train, loss, requirements, {}, limits));
  RETURN_IF_ERROR(check());
  if (spec.evaluation.has_value()) {
    // Class names of the training data say which index a name has.
    ASSIGN_OR_RETURN(data.evaluation, ReadAndConform("spec.data.evaluation", *spec.evaluation, loss,
                                                     requirements, data.train.class_names, limits));
    RETURN_IF_ERROR(check());
  } else {
    const absl::StatusOr<SplitRows> rows =
        SplitBySeed(data.train.size(), spec.validation_fraction, seed);
    if (!rows.ok()) return In("spec.data.train", rows.status());
    data.evaluation = SelectRows(data.train, rows->holdout);
    data.train = SelectRows(data.train, rows->train);
  }
  for (const DataRequirements::Input& input : requirements.inputs) {
    if (input.dtype != DType::kFloat32) continue;  // Ids are taken as they are.
    ASSIGN_OR_RETURN(const Scaling scaling,
                     FitScaling(data.train, input.name, ScalingOptionsOf(spec)));
    RETURN_IF_ERROR(ApplyScaling(scaling, data.train));
    RETURN_IF_ERROR(ApplyScaling(scaling, data.evaluation));
  }
  return data;
}

}  // namespace topiary
