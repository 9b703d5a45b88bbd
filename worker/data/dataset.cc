#include "worker/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"
#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

int64_t Rows(const Tensor& values) { return values.shape().rank() == 0 ? 0 : values.shape()[0]; }

Shape WithoutFirst(const Shape& shape) {
  return Shape(absl::MakeConstSpan(shape.dims()).subspan(shape.rank() == 0 ? 0 : 1));
}

Tensor TakeRows(const Tensor& values, absl::Span<const int64_t> rows) {
  Tensor taken(values.dtype(), values.shape().WithDim(0, static_cast<int64_t>(rows.size())));
  const size_t bytes =
      static_cast<size_t>(WithoutFirst(values.shape()).element_count()) * SizeOf(values.dtype());
  const char* from = static_cast<const char*>(values.raw_data());
  char* to = static_cast<char*>(taken.raw_data());
  for (int64_t row : rows) {
    CHECK(row >= 0 && row < values.shape()[0]) << "row " << row;
    std::memcpy(to, from + static_cast<size_t>(row) * bytes, bytes);
    to += bytes;
  }
  return taken;
}

absl::Status Wrong(const std::string& source, const DataArray& array, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(source, ": ", array.Described(), " ", what));
}

// Reshapes the examples of `array` to `example`, if the element counts agree.
absl::Status FitShape(const std::string& source, const Shape& example, DataArray& array) {
  if (array.values.shape().rank() == 0) return Wrong(source, array, "holds no examples");
  const Shape own = array.ExampleShape();
  if (own == example) return absl::OkStatus();
  if (own.element_count() != example.element_count() ||
      (own.rank() == example.rank() && own.rank() > 1)) {
    return Wrong(source, array,
                 absl::StrCat("has examples of shape ", own.ToString(), ", but the model needs ",
                              example.ToString()));
  }
  Shape::Dims dims = example.dims();
  dims.insert(dims.begin(), array.values.shape()[0]);
  array.values = std::move(array.values).Reshaped(Shape(absl::MakeConstSpan(dims)));
  return absl::OkStatus();
}

absl::Status CheckFinite(const std::string& source, const DataArray& array) {
  if (array.values.dtype() != DType::kFloat32) return absl::OkStatus();
  const absl::Span<const float> values = array.values.span<float>();
  // Sums of finite floats in double stay finite: one cheap pass for the common case.
  double sum = 0;
  for (float v : values) sum += std::abs(static_cast<double>(v));
  if (std::isfinite(sum)) return absl::OkStatus();
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  const int64_t per_row = array.ExampleShape().element_count();
  const int64_t at = bad - values.begin();
  return Wrong(
      source, array,
      absl::StrCat("has ", std::isnan(*bad) ? "NaN" : "an infinite value", " in row ", at / per_row,
                   ", element ", at % per_row, " (counted from 0); remove or replace such values"));
}

absl::Status CheckIds(const std::string& source, const std::vector<int64_t>& limits,
                      const DataArray& array) {
  if (limits.empty()) return absl::OkStatus();
  const absl::Span<const int64_t> ids = array.values.span<int64_t>();
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t row = i / limits.size(), element = i % limits.size();
    const int64_t limit = limits[element];
    if (limit == std::numeric_limits<int64_t>::max() || (ids[i] >= 0 && ids[i] < limit)) continue;
    return Wrong(
        source, array,
        absl::StrCat("has the id ", ids[i], " in row ", row, ", element ", element,
                     " (counted from 0), but the model's table has the rows 0 to ", limit - 1));
  }
  return absl::OkStatus();
}

std::string InputNames(const DataRequirements& requirements) {
  return absl::StrJoin(requirements.inputs, ", ", [](std::string* out, const auto& input) {
    absl::StrAppend(out, "'", input.name, "'");
  });
}

absl::Status ConformInputs(const std::string& source, const DataRequirements& requirements,
                           Dataset& dataset) {
  std::vector<DataArray>& inputs = dataset.inputs;
  if (inputs.size() == 1 && requirements.inputs.size() == 1) {
    inputs[0].name = requirements.inputs[0].name;
  }
  for (const DataArray& array : inputs) {
    const auto wanted = std::find_if(requirements.inputs.begin(), requirements.inputs.end(),
                                     [&](const auto& input) { return input.name == array.name; });
    if (wanted == requirements.inputs.end()) {
      return Wrong(
          source, array,
          absl::StrCat("feeds no input of the model, which has ", InputNames(requirements)));
    }
  }
  std::vector<DataArray> ordered;
  for (const DataRequirements::Input& wanted : requirements.inputs) {
    DataArray* array = dataset.FindInput(wanted.name);
    if (array == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(source, ": no array feeds the model's input '",
                                                     wanted.name, "'; name one for it"));
    }
    if (array->values.dtype() != wanted.dtype) {
      return Wrong(source, *array,
                   absl::StrCat("is ", DTypeName(array->values.dtype()), ", but the model needs ",
                                DTypeName(wanted.dtype)));
    }
    RETURN_IF_ERROR(FitShape(source, wanted.example_shape, *array));
    RETURN_IF_ERROR(CheckFinite(source, *array));
    RETURN_IF_ERROR(CheckIds(source, wanted.id_limits, *array));
    ordered.push_back(std::move(*array));
    array->name.clear();  // An array feeds one input.
  }
  inputs = std::move(ordered);
  return absl::OkStatus();
}

// Float labels that are whole numbers are class indices; any other is an error.
absl::Status MakeClasses(const std::string& source, int64_t class_count, const Shape& label_shape,
                         DataArray& labels) {
  RETURN_IF_ERROR(FitShape(source, label_shape, labels));
  const int64_t per_row = label_shape.element_count();
  if (labels.values.dtype() == DType::kFloat32) {
    Tensor classes(DType::kInt64, labels.values.shape());
    for (int64_t i = 0; i < classes.element_count(); ++i) {
      const float value = labels.values.data<float>()[i];
      if (value != std::floor(value) || std::abs(value) > 1e9f) {
        return Wrong(source, labels,
                     absl::StrCat("has the label ", value, " in row ", i / per_row,
                                  " (counted from 0), which is no class index"));
      }
      classes.data<int64_t>()[i] = static_cast<int64_t>(value);
    }
    labels.values = std::move(classes);
  }
  for (int64_t i = 0; i < labels.values.element_count(); ++i) {
    const int64_t label = labels.values.data<int64_t>()[i];
    if (label < 0 || label >= class_count) {
      return Wrong(
          source, labels,
          absl::StrCat("has the label ", label, " in row ", i / per_row,
                       " (counted from 0), but the model's classes are 0 to ", class_count - 1));
    }
  }
  return absl::OkStatus();
}

absl::Status MakeTargets(const std::string& source, const Shape& target_shape, DataArray& labels) {
  if (labels.values.dtype() == DType::kInt64) {
    Tensor targets(DType::kFloat32, labels.values.shape());
    std::transform(labels.values.data<int64_t>(),
                   labels.values.data<int64_t>() + labels.values.element_count(),
                   targets.data<float>(), [](int64_t v) { return static_cast<float>(v); });
    labels.values = std::move(targets);
  }
  return FitShape(source, target_shape, labels);
}

absl::Status CheckCounts(const std::string& source, const Dataset& dataset) {
  const int64_t size = dataset.size();
  if (size == 0) return absl::InvalidArgumentError(absl::StrCat(source, ": no examples"));
  const auto check = [&](const DataArray& array) {
    if (Rows(array.values) == size) return absl::OkStatus();
    return Wrong(source, array,
                 absl::StrCat("has ", Rows(array.values), " examples, but ",
                              dataset.inputs[0].Described(), " has ", size));
  };
  for (const DataArray& array : dataset.inputs) RETURN_IF_ERROR(check(array));
  return dataset.has_labels() ? check(dataset.labels) : absl::OkStatus();
}

}  // namespace

std::string DataArray::Described() const {
  return origin.empty() ? absl::StrCat("array '", name, "'") : origin;
}

Shape DataArray::ExampleShape() const { return WithoutFirst(values.shape()); }

int64_t Dataset::size() const { return inputs.empty() ? 0 : Rows(inputs[0].values); }

const DataArray* Dataset::FindInput(const std::string& name) const {
  for (const DataArray& array : inputs) {
    if (array.name == name) return &array;
  }
  return nullptr;
}

DataArray* Dataset::FindInput(const std::string& name) {
  return const_cast<DataArray*>(static_cast<const Dataset*>(this)->FindInput(name));
}

Dataset Dataset::Clone() const {
  Dataset copy;
  for (const DataArray& array : inputs) {
    copy.inputs.push_back({array.name, array.values.Clone(), array.origin});
  }
  copy.labels = {labels.name, labels.values.Clone(), labels.origin};
  copy.class_names = class_names;
  copy.feature_names = feature_names;
  return copy;
}

Dataset SelectRows(const Dataset& dataset, absl::Span<const int64_t> rows) {
  Dataset selected;
  for (const DataArray& array : dataset.inputs) {
    selected.inputs.push_back({array.name, TakeRows(array.values, rows), array.origin});
  }
  if (dataset.has_labels()) {
    selected.labels = {dataset.labels.name, TakeRows(dataset.labels.values, rows),
                       dataset.labels.origin};
  }
  selected.class_names = dataset.class_names;
  selected.feature_names = dataset.feature_names;
  return selected;
}

absl::Status ConformDataset(const std::string& source, const DataRequirements& requirements,
                            Dataset& dataset) {
  RETURN_IF_ERROR(ConformInputs(source, requirements, dataset));
  RETURN_IF_ERROR(CheckCounts(source, dataset));
  if (!dataset.has_labels()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckFinite(source, dataset.labels));
  return requirements.class_count > 0
             ? MakeClasses(source, requirements.class_count, requirements.label_shape,
                           dataset.labels)
             : MakeTargets(source, requirements.label_shape, dataset.labels);
}

absl::StatusOr<SplitRows> SplitBySeed(int64_t size, double holdout_fraction, uint64_t seed) {
  if (size < 2 || size > UINT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("a data set of ", size, " examples cannot be split"));
  }
  if (!(holdout_fraction > 0) || !(holdout_fraction < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the part to hold out is ", holdout_fraction, "; it must be in (0, 1)"));
  }
  const auto wanted =
      static_cast<int64_t>(std::llround(holdout_fraction * static_cast<double>(size)));
  const int64_t count = std::clamp<int64_t>(wanted, 1, size - 1);
  const std::vector<uint32_t> order =
      Permutation(seed, kStreamDataSplit, 0, static_cast<uint32_t>(size));
  SplitRows split;
  split.holdout.assign(order.begin(), order.begin() + count);
  split.train.assign(order.begin() + count, order.end());
  std::sort(split.holdout.begin(), split.holdout.end());
  std::sort(split.train.begin(), split.train.end());
  return split;
}

}  // namespace topiary
