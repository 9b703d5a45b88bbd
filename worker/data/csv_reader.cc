#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/data/csv_parser.h"
#include "worker/data/inflate.h"
#include "worker/data/readers.h"

namespace topiary {
namespace {

constexpr int64_t kMaxClass = 1000000;

// Rows are counted as everywhere in messages about data, lines as editors do.
std::string RowText(int64_t row, int64_t line) {
  return absl::StrCat("row ", row, " (counted from 0; line ", line, ")");
}

// What each column of the file is for.
struct Roles {
  std::vector<std::string> names;  // By column, for messages and look-up.
  std::vector<size_t> features;    // Columns, in the order of the model's features.
  int label = -1;                  // Column, or -1.
};

absl::StatusOr<size_t> FindColumn(const std::vector<std::string>& names, bool has_header,
                                  const CsvColumnKey& wanted) {
  const auto count = static_cast<int64_t>(names.size());
  if (const int* given = std::get_if<int>(&wanted)) {
    const int64_t index = *given < 0 ? *given + count : *given;
    if (index >= 0 && index < count) return static_cast<size_t>(index);
    return absl::InvalidArgumentError(absl::StrCat("there is no column ", *given, " among the ",
                                                   count, " columns (counted from 0)"));
  }
  const std::string& name = std::get<std::string>(wanted);
  if (!has_header) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no column '", name, "': without a header columns have indices, not names"));
  }
  const auto it = std::find(names.begin(), names.end(), name);
  if (it != names.end()) return static_cast<size_t>(it - names.begin());
  return absl::InvalidArgumentError(
      absl::StrCat("there is no column '", name, "' among the ", count,
                   " columns: ", absl::StrJoin(names, ", ").substr(0, 400)));
}

absl::StatusOr<Roles> AssignRoles(const CsvSource& source, std::vector<std::string> names) {
  Roles roles;
  std::set<size_t> taken;
  if (source.label_column.has_value()) {
    ASSIGN_OR_RETURN(const size_t label,
                     FindColumn(names, source.has_header, *source.label_column));
    roles.label = static_cast<int>(label);
    taken.insert(label);
  }
  const auto take = [&](const CsvColumnKey& key, absl::string_view role) -> absl::StatusOr<size_t> {
    ASSIGN_OR_RETURN(const size_t column, FindColumn(names, source.has_header, key));
    if (taken.insert(column).second) return column;
    if (static_cast<int>(column) == roles.label && source.label_is_default) {
      return absl::InvalidArgumentError(
          absl::StrCat("columns: column '", names[column], "' is declared ", role,
                       ", but it is the label while no other column is; declare the label column"));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("columns: column '", names[column], "' has two roles"));
  };
  std::set<size_t> ignored;
  for (const CsvColumnKey& key : source.ignored_columns) {
    ASSIGN_OR_RETURN(const size_t column, take(key, "IGNORE"));
    ignored.insert(column);
  }
  for (const CsvColumnKey& key : source.feature_columns) {
    RETURN_IF_ERROR(take(key, "FEATURE").status());
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (static_cast<int>(i) != roles.label && ignored.count(i) == 0) roles.features.push_back(i);
  }
  if (roles.features.empty()) return absl::InvalidArgumentError("no column is a feature");
  roles.names = std::move(names);
  return roles;
}

// Reads the records of one file, column by role.
class CsvReader {
 public:
  CsvReader(const CsvSource& source, const ReadLimits& limits, absl::string_view text)
      : source_(source),
        limits_(limits),
        parser_(text, source.delimiter, limits.max_columns, limits.max_field_bytes) {}

  absl::StatusOr<Dataset> Read() {
    std::vector<std::string> fields;
    ASSIGN_OR_RETURN(bool more, parser_.Next(fields));
    if (!more) return absl::InvalidArgumentError("it has no rows");
    ASSIGN_OR_RETURN(roles_, AssignRoles(source_, ColumnNames(fields)));
    if (source_.has_header) {
      ASSIGN_OR_RETURN(more, parser_.Next(fields));
      if (!more) return absl::InvalidArgumentError("it has a header but no rows");
    }
    while (more) {
      RETURN_IF_ERROR(AddRow(fields));
      ++rows_;
      ASSIGN_OR_RETURN(more, parser_.Next(fields));
    }
    return Finish();
  }

 private:
  std::vector<std::string> ColumnNames(const std::vector<std::string>& fields) const {
    if (source_.has_header) return fields;
    std::vector<std::string> names;
    for (size_t i = 0; i < fields.size(); ++i) names.push_back(absl::StrCat(i));
    return names;
  }

  absl::Status At(size_t column, absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(RowText(rows_, parser_.line()), ", column '",
                                                   roles_.names[column], "': ", what));
  }

  absl::Status AddRow(const std::vector<std::string>& fields) {
    if (fields.size() != roles_.names.size()) {
      return absl::InvalidArgumentError(absl::StrCat(RowText(rows_, parser_.line()), " has ",
                                                     fields.size(), " fields; ",
                                                     roles_.names.size(), " are needed"));
    }
    const auto next_bytes =
        static_cast<int64_t>((values_.size() + roles_.features.size()) * sizeof(float));
    if (rows_ >= limits_.max_rows || next_bytes > limits_.max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", rows_, " rows are not allowed"));
    }
    for (size_t column : roles_.features) {
      ASSIGN_OR_RETURN(const float value, Feature(column, fields[column]));
      values_.push_back(value);
    }
    if (roles_.label < 0) return absl::OkStatus();
    const auto column = static_cast<size_t>(roles_.label);
    const absl::string_view label = absl::StripAsciiWhitespace(fields[column]);
    if (label.empty()) return At(column, "the label is missing");
    labels_.emplace_back(label);
    label_lines_.push_back(parser_.line());
    return absl::OkStatus();
  }

  absl::StatusOr<float> Feature(size_t column, const std::string& raw) const {
    const absl::string_view field = absl::StripAsciiWhitespace(raw);
    if (field.empty()) {
      return At(column, "the value is missing; fill it in, remove the row, or IGNORE the column");
    }
    float value;
    if (!absl::SimpleAtof(field, &value)) {
      return At(column, absl::StrCat("'", field.substr(0, 40),
                                     "' is no number; IGNORE the column, or encode it as numbers"));
    }
    if (!std::isfinite(value)) {
      return At(column, absl::StrCat("'", field.substr(0, 40), "' is not finite"));
    }
    return value;
  }

  absl::Status AtLabel(size_t row, absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(RowText(static_cast<int64_t>(row), label_lines_[row]), ", column '",
                     roles_.names[static_cast<size_t>(roles_.label)], "': ", what));
  }

  absl::StatusOr<Tensor> Targets() const {
    std::vector<float> targets;
    for (size_t row = 0; row < labels_.size(); ++row) {
      float value;
      if (!absl::SimpleAtof(labels_[row], &value) || !std::isfinite(value)) {
        return AtLabel(
            row, absl::StrCat("the target '", labels_[row].substr(0, 40), "' is no finite number"));
      }
      targets.push_back(value);
    }
    return Tensor::FromVector(Shape({rows_}), targets);
  }

  // The class index that an integer label ("3", "3.0") stands for; -1 if it is no integer.
  int64_t IntegerClass(const std::string& label) const {
    double value;
    if (!absl::SimpleAtod(label, &value) || value != std::floor(value)) return -1;
    return value >= 0 && value <= static_cast<double>(kMaxClass) ? static_cast<int64_t>(value) : -1;
  }

  absl::StatusOr<Tensor> Classes(std::vector<std::string>& class_names) const {
    std::vector<int64_t> classes;
    if (source_.class_names.empty()) {
      double ignored;
      const bool numbers = std::all_of(labels_.begin(), labels_.end(), [&](const std::string& l) {
        return absl::SimpleAtod(l, &ignored);
      });
      if (numbers) {
        for (size_t row = 0; row < labels_.size(); ++row) {
          classes.push_back(IntegerClass(labels_[row]));
          if (classes.back() < 0) {
            return AtLabel(
                row, absl::StrCat("the label '", labels_[row].substr(0, 40),
                                  "' is no class: an integer from 0 to ", kMaxClass, " is needed"));
          }
        }
        return Tensor::FromVector(Shape({rows_}), classes);
      }
      const std::set<std::string> sorted(labels_.begin(), labels_.end());
      class_names.assign(sorted.begin(), sorted.end());
    } else {
      class_names = source_.class_names;
    }
    std::map<std::string, int64_t> indices;
    for (size_t i = 0; i < class_names.size(); ++i) {
      indices.emplace(class_names[i], static_cast<int64_t>(i));
    }
    for (size_t row = 0; row < labels_.size(); ++row) {
      const auto it = indices.find(labels_[row]);
      if (it == indices.end()) {
        return AtLabel(row, absl::StrCat("the label '", labels_[row].substr(0, 40),
                                         "' is none of the ", class_names.size(), " classes"));
      }
      classes.push_back(it->second);
    }
    return Tensor::FromVector(Shape({rows_}), classes);
  }

  absl::StatusOr<Dataset> Finish() {
    Dataset dataset;
    const Shape shape({rows_, static_cast<int64_t>(roles_.features.size())});
    dataset.inputs.push_back({source_.input, Tensor::FromVector(shape, values_),
                              "the table of feature columns of " + source_.path});
    if (source_.has_header) {
      for (const size_t column : roles_.features) {
        dataset.feature_names.push_back(roles_.names[column]);
      }
    }
    if (roles_.label < 0) return dataset;
    dataset.labels.name = roles_.names[static_cast<size_t>(roles_.label)];
    dataset.labels.origin = absl::StrCat("column '", dataset.labels.name, "' of ", source_.path);
    if (dataset.labels.name.empty()) dataset.labels.name = "label";
    if (source_.labels_are_classes) {
      ASSIGN_OR_RETURN(dataset.labels.values, Classes(dataset.class_names));
    } else {
      ASSIGN_OR_RETURN(dataset.labels.values, Targets());
    }
    return dataset;
  }

  const CsvSource& source_;
  const ReadLimits limits_;
  CsvParser parser_;
  Roles roles_;
  int64_t rows_ = 0;
  std::vector<float> values_;  // Row after row.
  std::vector<std::string> labels_;
  std::vector<int64_t> label_lines_;
};

}  // namespace

absl::StatusOr<Dataset> ReadCsv(const CsvSource& source, const ReadLimits& limits) {
  if (source.delimiter == '"' || source.delimiter == '\n' || source.delimiter == '\r') {
    return absl::InvalidArgumentError(
        absl::StrCat(source.path, ": a quote or line end cannot be the delimiter"));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadMaybeGzip(source.path, limits.max_bytes));
  absl::StatusOr<Dataset> dataset = CsvReader(source, limits, text).Read();
  if (!dataset.ok()) {
    return absl::Status(dataset.status().code(),
                        absl::StrCat(source.path, ": ", dataset.status().message()));
  }
  return dataset;
}

}  // namespace topiary
