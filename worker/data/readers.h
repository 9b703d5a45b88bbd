// Files of examples: which formats there are and what a data set is made of.
#ifndef TOPIARY_WORKER_DATA_READERS_H_
#define TOPIARY_WORKER_DATA_READERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"

namespace topiary {

struct ReadLimits {
  // Of a file once inflated, and of all its arrays once read (as float32 or int64): what a
  // "zip bomb" can cost.
  int64_t max_bytes = int64_t{4} << 30;
  int64_t max_rows = int64_t{1} << 31;
  int64_t max_columns = 100000;       // CSV.
  int64_t max_field_bytes = 1 << 20;  // CSV: one field.
};

// An .npz file: a zip archive of .npy arrays (NumPy's savez and
// savez_compressed). dtypes f4 and f8 become float32; u1, i1 to i8, u2, u4
// and bool become float32 as features or int64 as labels and ids.
struct NpzSource {
  std::string path;
  // Arrays that feed the model, and the input each feeds. Empty: every array but the labels,
  // each feeding the input of its own name; where model and file have only one, the names need not
  // match.
  struct Input {
    std::string array;
    std::string input;
    bool as_ids = false;  // Integer array kept as int64 (embedding ids) instead of float32.
  };
  std::vector<Input> inputs;
  std::string labels;  // Array name; empty: none.
};
absl::StatusOr<Dataset> ReadNpz(const NpzSource& source, const ReadLimits& limits = {});

// IDX files (MNIST's format), gzip-compressed or not: images become float32 of
// shape [n, rows, cols] (values 0 to 255 as they are), labels int64.
struct IdxSource {
  std::string images;
  std::string labels;           // Empty: none.
  std::string input = "input";  // Name of the input that the images feed.
};
absl::StatusOr<Dataset> ReadIdx(const IdxSource& source, const ReadLimits& limits = {});

// A column of a CSV file, by its name in the header or by index counted from 0 (-1 is the last). A
// name is never taken for an index, nor an index for a name.
using CsvColumnKey = std::variant<std::string, int>;

// A CSV file, gzip-compressed or not; RFC 4180 quoting, a byte-order mark and CRLF line ends are
// fine.
struct CsvSource {
  std::string path;
  bool has_header = true;
  char delimiter = ',';
  // All columns are features but the label and those ignored. No column may have two roles.
  std::optional<CsvColumnKey> label_column;  // Absent: no labels.
  // True if `label_column` is a guess, for messages about a column that is also something else.
  bool label_is_default = false;
  std::vector<CsvColumnKey> feature_columns;  // Said to be features: checked, nothing more.
  std::vector<CsvColumnKey> ignored_columns;
  // Labels are classes (integers from 0, or any strings mapped to indices in sorted
  // order), else float32 targets.
  bool labels_are_classes = true;
  // Class names in order of index, so that a test file maps as its training file did. Empty: from
  // this file.
  std::vector<std::string> class_names;
  std::string input = "input";  // Name of the input: float32 [rows, features].
};
absl::StatusOr<Dataset> ReadCsv(const CsvSource& source, const ReadLimits& limits = {});

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_READERS_H_
