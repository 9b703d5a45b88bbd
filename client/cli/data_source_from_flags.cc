#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/spec_from_flags.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

absl::Status AddColumn(const JobFlags& flags, absl::string_view flag, const std::string& column,
                       v1::CsvColumn::Role role, v1::CsvSource* csv) {
  v1::CsvColumn* added = csv->add_columns();
  added->set_role(role);
  if (!flags.no_header) {
    added->set_name(column);
    return absl::OkStatus();
  }
  int32_t index = 0;
  if (!absl::SimpleAtoi(column, &index) || index < 0) {
    return UsageError(absl::StrCat(
        flag, " takes a number from 0 where --no-header is given, not \"", column, "\""));
  }
  added->set_index(index);
  return absl::OkStatus();
}

absl::Status ApplyCsvFlags(const JobFlags& flags, v1::CsvSource* csv) {
  if (flags.no_header) csv->set_header(false);
  if (!flags.delimiter.empty()) {
    csv->set_delimiter(flags.delimiter == "\\t" ? "\t" : flags.delimiter);
  }
  if (!flags.label_column.empty()) {
    RETURN_IF_ERROR(
        AddColumn(flags, "--label-column", flags.label_column, v1::CsvColumn::LABEL, csv));
  }
  for (const std::string& column : flags.ignore_columns) {
    RETURN_IF_ERROR(AddColumn(flags, "--ignore-column", column, v1::CsvColumn::IGNORE, csv));
  }
  return absl::OkStatus();
}

// Flags of one format given with data of another would do nothing: say so.
absl::Status CheckFormatFlags(const JobFlags& flags, DataFormat format) {
  const bool npz_flags = !flags.input_array.empty() || !flags.label_array.empty();
  const bool csv_flags = !flags.label_column.empty() || !flags.ignore_columns.empty() ||
                         flags.no_header || !flags.delimiter.empty();
  if (npz_flags && format != DataFormat::kNpz) {
    return UsageError("--input-array and --label-array go with .npz data only");
  }
  if (csv_flags && format != DataFormat::kCsv) {
    return UsageError(
        "--label-column, --ignore-column, --no-header and --delimiter go with CSV data only");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::DataSource> MakeDataSource(const JobFlags& flags, const LocalDataSource& source,
                                              const std::vector<std::string>& digests,
                                              const v1::DataSource& base) {
  RETURN_IF_ERROR(CheckFormatFlags(flags, source.format));
  v1::DataSource made = base;
  switch (source.format) {
    case DataFormat::kNpz:
      made.mutable_npz()->set_digest(digests.at(0));
      if (!flags.input_array.empty()) made.mutable_npz()->set_input_array(flags.input_array);
      if (!flags.label_array.empty()) made.mutable_npz()->set_label_array(flags.label_array);
      break;
    case DataFormat::kIdx:
      made.mutable_idx()->set_images_digest(digests.at(0));
      made.mutable_idx()->set_labels_digest(digests.at(1));
      break;
    case DataFormat::kCsv:
      made.mutable_csv()->set_digest(digests.at(0));
      RETURN_IF_ERROR(ApplyCsvFlags(flags, made.mutable_csv()));
      break;
  }
  if (base.format_case() != v1::DataSource::FORMAT_NOT_SET &&
      base.format_case() != made.format_case()) {
    return UsageError("the data file has another format than the spec says");
  }
  return made;
}

}  // namespace topiary
