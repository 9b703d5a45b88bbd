#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "server/api/spec_validation_parts.h"

namespace topiary {
namespace {

constexpr int kMaxColumns = 10000;
constexpr int kMaxColumnIndex = 99999;
constexpr int kMaxGivenNumbers = 10000;
constexpr size_t kMaxNameBytes = 255;

void ValidateNpz(const v1::NpzSource& npz, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  check.Digest(npz.digest(), "digest");
  check.That(npz.input_array().size() <= kMaxNameBytes, "input_array", "is longer than 255 bytes");
  check.That(npz.label_array().size() <= kMaxNameBytes, "label_array", "is longer than 255 bytes");
  const std::string input = npz.input_array().empty() ? "x" : npz.input_array();
  const std::string label = npz.label_array().empty() ? "y" : npz.label_array();
  check.That(input != label, "label_array", "must be another array than input_array");
}

void ValidateIdx(const v1::IdxSource& idx, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  check.Digest(idx.images_digest(), "images_digest");
  check.Digest(idx.labels_digest(), "labels_digest");
}

bool IsDelimiter(absl::string_view text) {
  if (text.empty()) return true;  // the default
  const char c = text[0];
  return text.size() == 1 && absl::ascii_isascii(c) && !absl::ascii_isalnum(c) &&
         (c == '\t' || absl::ascii_isprint(c)) &&
         absl::string_view("\"'+-.").find(c) == absl::string_view::npos;
}

void ValidateColumn(const v1::CsvColumn& column, bool header, absl::string_view path,
                    FieldViolations* violations) {
  FieldChecks check(path, violations);
  switch (column.column_case()) {
    case v1::CsvColumn::kName:
      check.That(header, "name", "needs header = true; name the column by its index");
      check.That(!column.name().empty() && column.name().size() <= kMaxNameBytes, "name",
                 "must have 1 to 255 bytes");
      break;
    case v1::CsvColumn::kIndex:
      check.InRange(column.index(), 0, kMaxColumnIndex, "index");
      break;
    case v1::CsvColumn::COLUMN_NOT_SET:
      check.That(false, "name", "set name or index");
      break;
  }
  check.That(column.role() != v1::CsvColumn::ROLE_UNSPECIFIED, "role",
             "must be FEATURE, LABEL or IGNORE");
}

void ValidateCsv(const v1::CsvSource& csv, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  check.Digest(csv.digest(), "digest");
  check.That(IsDelimiter(csv.delimiter()), "delimiter",
             "must be one ASCII character, not a letter, digit, quote, sign, point or line break");
  check.That(csv.columns_size() <= kMaxColumns, "columns", "must have at most 10000 entries");
  const bool header = !csv.has_header() || csv.header();
  std::set<std::pair<std::string, int>> seen;
  int labels = 0;
  for (int i = 0; i < std::min(csv.columns_size(), kMaxColumns); ++i) {
    const v1::CsvColumn& column = csv.columns(i);
    const std::string column_path = ElementPath(path, "columns", i);
    ValidateColumn(column, header, column_path, violations);
    const bool fresh =
        seen.emplace(column.name(),
                     column.column_case() == v1::CsvColumn::kIndex ? column.index() : -1)
            .second;
    violations->Check(fresh, column_path, "is the same column as one before");
    if (column.role() == v1::CsvColumn::LABEL) {
      violations->Check(++labels == 1, JoinPath(column_path, "role"),
                        "is a second label; exactly one column is");
    }
  }
}

void ValidateSource(const v1::DataSource& source, absl::string_view path,
                    FieldViolations* violations) {
  switch (source.format_case()) {
    case v1::DataSource::kNpz:
      return ValidateNpz(source.npz(), JoinPath(path, "npz"), violations);
    case v1::DataSource::kIdx:
      return ValidateIdx(source.idx(), JoinPath(path, "idx"), violations);
    case v1::DataSource::kCsv:
      return ValidateCsv(source.csv(), JoinPath(path, "csv"), violations);
    case v1::DataSource::FORMAT_NOT_SET:
      violations->Add(path, "set npz, idx or csv");
  }
}

void ValidateNormalization(const v1::Normalization& normalization, absl::string_view path,
                           FieldViolations* violations) {
  if (normalization.kind_case() == v1::Normalization::KIND_NOT_SET) {
    violations->Add(path, "set given or fitted, or leave normalization out");
    return;
  }
  if (!normalization.has_given()) return;
  const v1::GivenNormalization& given = normalization.given();
  FieldChecks check(JoinPath(path, "given"), violations);
  check.InRange(given.mean_size(), 1, kMaxGivenNumbers, "mean");
  check.That(given.standard_deviation_size() == given.mean_size(), "standard_deviation",
             "must have as many numbers as mean");
  for (int i = 0; i < given.standard_deviation_size(); ++i) {
    check.That(given.standard_deviation(i) > 0, absl::StrCat("standard_deviation[", i, "]"),
               "must be above 0");
  }
}

}  // namespace

void ValidateData(const v1::Data& data, absl::string_view path, FieldViolations* violations) {
  FieldChecks check(path, violations);
  ValidateSource(data.train(), check.PathOf("train"), violations);
  if (data.has_evaluation()) {
    ValidateSource(data.evaluation(), check.PathOf("evaluation"), violations);
    check.That(!data.has_validation_fraction(), "validation_fraction",
               "must be left out where evaluation is given");
  }
  if (data.has_validation_fraction()) {
    check.InOpen(data.validation_fraction(), 0, 1, "validation_fraction");
  }
  if (data.has_divide_by()) check.That(data.divide_by() != 0, "divide_by", "must not be 0");
  if (data.has_normalization()) {
    ValidateNormalization(data.normalization(), check.PathOf("normalization"), violations);
  }
}

}  // namespace topiary
