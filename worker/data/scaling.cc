#include "worker/data/scaling.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

struct Moments {
  std::vector<double> mean;
  std::vector<double> deviation;
};

absl::Status Wrong(const std::string& input, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("scaling of input '", input, "': ", what));
}

// How many means: all, one per channel, or one per element.
size_t FittedCount(ScalingOptions::Normalize normalize, const Shape& example) {
  switch (normalize) {
    case ScalingOptions::Normalize::kFitPerChannel:
      return example.rank() == 0 ? 1 : static_cast<size_t>(example[0]);
    case ScalingOptions::Normalize::kFitPerFeature:
      return static_cast<size_t>(example.element_count());
    default:
      return 1;
  }
}

// Two passes in double, rows in order: exact enough, and the same bits on every machine.
Moments Fit(const Tensor& values, size_t count, double divide_by) {
  const auto total = static_cast<size_t>(values.element_count());
  const size_t rows = static_cast<size_t>(values.shape()[0]);
  const size_t run = total / rows / count;
  const float* x = values.data<float>();
  Moments moments{std::vector<double>(count, 0), std::vector<double>(count, 0)};
  for (size_t i = 0; i < total; ++i) moments.mean[i / run % count] += x[i] / divide_by;
  for (double& m : moments.mean) m /= static_cast<double>(rows * run);
  for (size_t i = 0; i < total; ++i) {
    const double d = x[i] / divide_by - moments.mean[i / run % count];
    moments.deviation[i / run % count] += d * d;
  }
  for (double& d : moments.deviation) {
    d = std::sqrt(d / static_cast<double>(rows * run));
    if (d < 1e-12) d = 1;  // It does not vary: centred only.
  }
  return moments;
}

absl::StatusOr<Moments> Constants(const std::string& input, const ScalingOptions& options,
                                  const Shape& example) {
  const size_t count = options.mean.size();
  if (count == 0 || count != options.standard_deviation.size()) {
    return Wrong(input, absl::StrCat(count, " means and ", options.standard_deviation.size(),
                                     " standard deviations are given; as many of each are needed"));
  }
  const bool fits = count == 1 || count == static_cast<size_t>(example.element_count()) ||
                    (example.rank() > 0 && count == static_cast<size_t>(example[0]));
  if (!fits) {
    return Wrong(input,
                 absl::StrCat(count, " means do not fit examples of shape ", example.ToString(),
                              "; give one, one per channel or one per element"));
  }
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(options.mean[i]) || !std::isfinite(options.standard_deviation[i]) ||
        options.standard_deviation[i] <= 0) {
      return Wrong(input, absl::StrCat("mean ", options.mean[i], " and standard deviation ",
                                       options.standard_deviation[i], " (number ", i,
                                       ") must be finite, the deviation above 0"));
    }
  }
  return Moments{options.mean, options.standard_deviation};
}

}  // namespace

absl::StatusOr<Scaling> FitScaling(const Dataset& train, const std::string& input,
                                   const ScalingOptions& options) {
  const DataArray* array = train.FindInput(input);
  if (array == nullptr) return Wrong(input, "the data set has no such input");
  if (array->values.dtype() != DType::kFloat32 || array->values.element_count() == 0) {
    return Wrong(input,
                 absl::StrCat("needs float32 examples, not ", DTypeName(array->values.dtype()),
                              array->values.shape().ToString()));
  }
  if (!std::isfinite(options.divide_by) || options.divide_by == 0) {
    return Wrong(input, absl::StrCat("divide_by is ", options.divide_by));
  }
  const Shape example = array->ExampleShape();
  Moments moments{{0}, {1}};
  if (options.normalize == ScalingOptions::Normalize::kConstant) {
    ASSIGN_OR_RETURN(moments, Constants(input, options, example));
  } else if (options.normalize != ScalingOptions::Normalize::kNone) {
    moments = Fit(array->values, FittedCount(options.normalize, example), options.divide_by);
  }
  Scaling scaling;
  scaling.input = input;
  for (size_t i = 0; i < moments.mean.size(); ++i) {
    scaling.factor.push_back(static_cast<float>(1 / (options.divide_by * moments.deviation[i])));
    scaling.offset.push_back(static_cast<float>(-moments.mean[i] / moments.deviation[i]));
  }
  return scaling;
}

absl::Status ApplyScaling(const Scaling& scaling, Dataset& dataset) {
  DataArray* array = dataset.FindInput(scaling.input);
  const size_t count = scaling.factor.size();
  if (array == nullptr) return Wrong(scaling.input, "the data set has no such input");
  if (array->values.dtype() != DType::kFloat32 || count == 0 || count != scaling.offset.size() ||
      static_cast<size_t>(array->ExampleShape().element_count()) % count != 0) {
    return Wrong(scaling.input,
                 absl::StrCat("was made for other examples than ", DTypeName(array->values.dtype()),
                              array->values.shape().ToString()));
  }
  const size_t run = static_cast<size_t>(array->ExampleShape().element_count()) / count;
  float* x = array->values.data<float>();
  for (int64_t row = 0; row < array->values.shape()[0]; ++row) {
    for (size_t i = 0; i < count; ++i) {
      for (size_t k = 0; k < run; ++k, ++x) *x = *x * scaling.factor[i] + scaling.offset[i];
    }
  }
  return absl::OkStatus();
}

}  // namespace topiary
