#include "worker/data/csv_parser.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace topiary {

CsvParser::CsvParser(absl::string_view text, char delimiter, int64_t max_columns,
                     int64_t max_field_bytes)
    : rest_(text),
      delimiter_(delimiter),
      max_columns_(max_columns),
      max_field_bytes_(max_field_bytes) {
  if (absl::StartsWith(rest_, "\xEF\xBB\xBF")) rest_.remove_prefix(3);
}

absl::StatusOr<bool> CsvParser::Next(std::vector<std::string>& fields) {
  fields.clear();
  while (EatLineEnd()) {
  }
  record_line_ = line_;
  if (rest_.empty()) return false;
  while (true) {
    if (static_cast<int64_t>(fields.size()) == max_columns_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("line ", record_line_, " has more than ", max_columns_, " columns"));
    }
    ASSIGN_OR_RETURN(std::string field, Field());
    fields.push_back(std::move(field));
    if (rest_.empty() || EatLineEnd()) return true;
    rest_.remove_prefix(1);  // The delimiter.
  }
}

bool CsvParser::AtFieldEnd() const {
  return rest_.empty() || rest_[0] == delimiter_ || rest_[0] == '\n' ||
         (rest_[0] == '\r' && (rest_.size() == 1 || rest_[1] == '\n'));
}

bool CsvParser::EatLineEnd() {
  if (rest_.empty()) return false;
  if (rest_[0] == '\r' && (rest_.size() == 1 || rest_[1] == '\n')) rest_.remove_prefix(1);
  if (rest_.empty()) return true;
  if (rest_[0] != '\n') return false;
  rest_.remove_prefix(1);
  ++line_;
  return true;
}

absl::StatusOr<std::string> CsvParser::Field() {
  if (!rest_.empty() && rest_[0] == '"') return QuotedField();
  const absl::string_view start = rest_;
  while (!AtFieldEnd()) rest_.remove_prefix(1);
  const size_t length = start.size() - rest_.size();
  if (static_cast<int64_t>(length) > max_field_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("line ", record_line_, " has a field of ",
                                                     length, " bytes; at most ", max_field_bytes_,
                                                     " are allowed"));
  }
  return std::string(start.substr(0, length));
}

absl::StatusOr<std::string> CsvParser::QuotedField() {
  std::string field;
  rest_.remove_prefix(1);
  while (true) {
    const size_t quote = rest_.find('"');
    if (quote == absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", record_line_, " opens a quote that is never closed"));
    }
    if (static_cast<int64_t>(field.size() + quote) > max_field_bytes_) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "line ", record_line_, " has a field of more than ", max_field_bytes_, " bytes"));
    }
    line_ += std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(quote), '\n');
    field.append(rest_.data(), quote);
    rest_.remove_prefix(quote + 1);
    if (rest_.empty() || rest_[0] != '"') break;
    field.push_back('"');  // Two quotes stand for one.
    rest_.remove_prefix(1);
  }
  if (AtFieldEnd()) return field;
  return absl::InvalidArgumentError(
      absl::StrCat("line ", line_, " has text after a closing quote"));
}

}  // namespace topiary
