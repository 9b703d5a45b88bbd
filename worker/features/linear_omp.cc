#include "worker/features/linear_omp.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

// Of a unit column what is left of it after the basis: less, and it depends on those before it.
constexpr double kDependent = 1e-6;
constexpr int64_t kRowsBetweenChecks = 4096;

// The columns of one input.
struct Table {
  const float* values = nullptr;
  int64_t width = 0;
  std::vector<double> means;
  std::vector<double> norms;     // Of the centered columns; 0 where a column does not vary.
  std::vector<double> products;  // X' R of the scaled columns: [width, targets].
};

class LinearOmp {
 public:
  LinearOmp(const FeatureLayer& features, const SelectionData& data)
      : features_(features), data_(data), rows_(data.train->size()) {}

  absl::StatusOr<std::vector<ChosenFeature>> Select(int64_t count) {
    RETURN_IF_ERROR(FindTables());
    RETURN_IF_ERROR(CheckMemory(count));
    RETURN_IF_ERROR(MakeTargets());
    for (auto& [place, table] : tables_) RETURN_IF_ERROR(MeasureColumns(&table));
    RETURN_IF_ERROR(MakeProducts());
    std::vector<uint8_t> is_chosen(features_.features.size(), 0);
    std::vector<ChosenFeature> chosen;
    while (static_cast<int64_t>(chosen.size()) < count) {
      int64_t best = -1;
      double best_score = 0;
      for (size_t i = 0; i < features_.features.size(); ++i) {
        if (is_chosen[i] != 0) continue;
        const double score = ScoreOf(features_.features[i]);
        if (best >= 0 && !(score > best_score)) continue;
        best = static_cast<int64_t>(i);
        best_score = score;
      }
      is_chosen[best] = 1;
      chosen.push_back({best, 0, static_cast<float>(best_score)});
      for (const InputElement& element : features_.features[best].elements) {
        RETURN_IF_ERROR(AddToBasis(tables_.at(element.input), element.index));
      }
    }
    return chosen;
  }

 private:
  absl::Status FindTables() {
    for (const Feature& feature : features_.features) {
      for (const InputElement& element : feature.elements) {
        if (tables_.count(element.input) > 0) continue;
        const std::string& name = features_.inputs[element.input];
        const DataArray* array = data_.train->FindInput(name);
        if (array == nullptr || array->values.dtype() != DType::kFloat32) {
          return absl::UnimplementedError(absl::StrCat(
              "spec.feature_selection.omp_linear needs features that are numbers, but input '",
              name, "' is of ids: use another selector"));
        }
        Table table;
        table.values = array->values.data<float>();
        table.width = array->ExampleShape().element_count();
        tables_.emplace(element.input, std::move(table));
      }
    }
    const Tensor& labels = data_.train->labels.values;
    if (labels.dtype() != DType::kInt64) {
      targets_ = labels.element_count() / rows_;
      return absl::OkStatus();
    }
    if (labels.element_count() != rows_) {
      return absl::UnimplementedError(
          "spec.feature_selection.omp_linear needs one label per example: use another selector");
    }
    const absl::Span<const int64_t> classes = labels.span<int64_t>();
    targets_ = *std::max_element(classes.begin(), classes.end()) + 1;
    return absl::OkStatus();
  }

  absl::Status CheckMemory(int64_t count) const {
    if (data_.memory_limit_bytes == 0) return absl::OkStatus();
    // Of the largest features, as if they were chosen.
    std::vector<int64_t> widths;
    for (const Feature& feature : features_.features) {
      widths.push_back(static_cast<int64_t>(feature.elements.size()));
    }
    std::sort(widths.rbegin(), widths.rend());
    double numbers = static_cast<double>(targets_) * static_cast<double>(rows_);
    for (int64_t i = 0; i < count; ++i) {
      numbers += static_cast<double>(widths[i]) * static_cast<double>(rows_);
    }
    for (const auto& [place, table] : tables_) {
      numbers += static_cast<double>(table.width) * static_cast<double>(targets_ + 3);
    }
    const double bytes = numbers * sizeof(double);
    if (bytes <= static_cast<double>(data_.memory_limit_bytes)) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "spec.feature_selection.omp_linear needs about ", static_cast<int64_t>(bytes / (1 << 20)),
        " MiB for ", count, " features of ", rows_, " examples, more than the job may use: choose ",
        "fewer, use less data, or a worker with more memory (spec.placement.memory_bytes)"));
  }

  // Centered: the residual of the intercept alone. One column after another.
  absl::Status MakeTargets() {
    residual_.assign(targets_ * rows_, 0.0);
    const Tensor& labels = data_.train->labels.values;
    for (int64_t row = 0; row < rows_; ++row) {
      if (labels.dtype() == DType::kInt64) {
        residual_[labels.data<int64_t>()[row] * rows_ + row] = 1;
        continue;
      }
      for (int64_t t = 0; t < targets_; ++t) {
        residual_[t * rows_ + row] = labels.data<float>()[row * targets_ + t];
      }
    }
    for (int64_t t = 0; t < targets_; ++t) {
      double* const column = residual_.data() + t * rows_;
      double sum = 0;
      for (int64_t row = 0; row < rows_; ++row) sum += column[row];
      const double mean = sum / static_cast<double>(rows_);
      for (int64_t row = 0; row < rows_; ++row) column[row] -= mean;
    }
    return data_.check();
  }

  absl::Status MeasureColumns(Table* table) const {
    table->means.assign(table->width, 0.0);
    table->norms.assign(table->width, 0.0);
    RETURN_IF_ERROR(ForRows([&](int64_t row) {
      const float* const x = table->values + row * table->width;
      for (int64_t j = 0; j < table->width; ++j) table->means[j] += x[j];
    }));
    for (double& mean : table->means) mean /= static_cast<double>(rows_);
    std::vector<double> largest(table->width, 0.0);
    RETURN_IF_ERROR(ForRows([&](int64_t row) {
      const float* const x = table->values + row * table->width;
      for (int64_t j = 0; j < table->width; ++j) {
        const double centered = x[j] - table->means[j];
        table->norms[j] += centered * centered;
        largest[j] = std::max(largest[j], std::fabs(double{x[j]}));
      }
    }));
    for (int64_t j = 0; j < table->width; ++j) {
      // A constant's sum of squares is what rounding of the mean leaves.
      const double noise = 1e-12 * largest[j] * largest[j] * static_cast<double>(rows_);
      table->norms[j] = table->norms[j] > noise ? std::sqrt(table->norms[j]) : 0.0;
    }
    return absl::OkStatus();
  }

  absl::Status MakeProducts() {
    for (auto& [place, table] : tables_) table.products.assign(table.width * targets_, 0.0);
    for (int64_t t = 0; t < targets_; ++t) {
      for (auto& [place, table] : tables_) {
        std::vector<double> products;
        RETURN_IF_ERROR(MultiplyColumns(table, residual_.data() + t * rows_, &products));
        for (int64_t j = 0; j < table.width; ++j) table.products[j * targets_ + t] = products[j];
      }
    }
    return absl::OkStatus();
  }

  // x_j' v for each scaled column of `table`.
  absl::Status MultiplyColumns(const Table& table, const double* v,
                               std::vector<double>* products) const {
    products->assign(table.width, 0.0);
    double* const out = products->data();
    double sum = 0;
    RETURN_IF_ERROR(ForRows([&](int64_t row) {
      const float* const x = table.values + row * table.width;
      const double factor = v[row];
      sum += factor;
      for (int64_t j = 0; j < table.width; ++j) out[j] += factor * x[j];
    }));
    for (int64_t j = 0; j < table.width; ++j) {
      out[j] = table.norms[j] > 0 ? (out[j] - table.means[j] * sum) / table.norms[j] : 0.0;
    }
    return absl::OkStatus();
  }

  double ScoreOf(const Feature& feature) const {
    double sum = 0;
    for (const InputElement& element : feature.elements) {
      const Table& table = tables_.at(element.input);
      for (int64_t t = 0; t < targets_; ++t) {
        const double product = table.products[element.index * targets_ + t];
        sum += product * product;
      }
    }
    return std::sqrt(sum);
  }

  absl::Status AddToBasis(const Table& table, int64_t column) {
    RETURN_IF_ERROR(data_.check());
    if (table.norms[column] == 0) return absl::OkStatus();
    std::vector<double> q(rows_);
    for (int64_t row = 0; row < rows_; ++row) {
      q[row] =
          (table.values[row * table.width + column] - table.means[column]) / table.norms[column];
    }
    for (int pass = 0; pass < 2; ++pass) {  // Once leaves what rounding made of it.
      for (const std::vector<double>& other : basis_) {
        const double part = Product(other.data(), q.data());
        for (int64_t row = 0; row < rows_; ++row) q[row] -= part * other[row];
      }
    }
    const double norm = std::sqrt(Product(q.data(), q.data()));
    if (norm < kDependent) return absl::OkStatus();
    for (double& value : q) value /= norm;
    std::vector<double> parts(targets_);
    for (int64_t t = 0; t < targets_; ++t) {
      double* const residual = residual_.data() + t * rows_;
      parts[t] = Product(q.data(), residual);
      for (int64_t row = 0; row < rows_; ++row) residual[row] -= parts[t] * q[row];
    }
    for (auto& [place, other] : tables_) {
      std::vector<double> products;
      RETURN_IF_ERROR(MultiplyColumns(other, q.data(), &products));
      for (int64_t j = 0; j < other.width; ++j) {
        for (int64_t t = 0; t < targets_; ++t) {
          other.products[j * targets_ + t] -= products[j] * parts[t];
        }
      }
    }
    basis_.push_back(std::move(q));
    return absl::OkStatus();
  }

  double Product(const double* a, const double* b) const {
    double sum = 0;
    for (int64_t row = 0; row < rows_; ++row) sum += a[row] * b[row];
    return sum;
  }

  template <typename Visit>
  absl::Status ForRows(const Visit& visit) const {
    for (int64_t row = 0; row < rows_; ++row) {
      if (row % kRowsBetweenChecks == 0) RETURN_IF_ERROR(data_.check());
      visit(row);
    }
    return absl::OkStatus();
  }

  const FeatureLayer& features_;
  const SelectionData& data_;
  const int64_t rows_;
  int64_t targets_ = 0;
  std::map<int32_t, Table> tables_;  // By place of the input.
  std::vector<double> residual_;
  std::vector<std::vector<double>> basis_;
};

}  // namespace

absl::StatusOr<std::vector<ChosenFeature>> SelectByLinearOmp(const LinearOmpOptions&,
                                                             const FeatureLayer& features,
                                                             int64_t count,
                                                             const SelectionData& data) {
  return LinearOmp(features, data).Select(count);
}

}  // namespace topiary
