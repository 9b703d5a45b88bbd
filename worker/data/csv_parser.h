#ifndef TOPIARY_WORKER_DATA_CSV_PARSER_H_
#define TOPIARY_WORKER_DATA_CSV_PARSER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// Splits CSV text into records, one at a time: RFC 4180 with any one-byte delimiter, LF or CRLF
// line ends, a byte-order mark at the start, and empty lines passed over. `text` must outlive it.
// Thread-compatible.
class CsvParser {
 public:
  CsvParser(absl::string_view text, char delimiter, int64_t max_columns, int64_t max_field_bytes);

  // Reads the next record into `fields` (unquoted); false at the end of the text.
  // INVALID_ARGUMENT, naming the line: a quote that is not closed, or text after a closing one.
  // RESOURCE_EXHAUSTED: a limit is passed.
  absl::StatusOr<bool> Next(std::vector<std::string>& fields);

  // The line, counted from 1, on which the last record started.
  int64_t line() const { return record_line_; }

 private:
  absl::StatusOr<std::string> Field();
  absl::StatusOr<std::string> QuotedField();
  bool AtFieldEnd() const;
  bool EatLineEnd();

  absl::string_view rest_;
  const char delimiter_;
  const int64_t max_columns_;
  const int64_t max_field_bytes_;
  int64_t line_ = 1;
  int64_t record_line_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_CSV_PARSER_H_
