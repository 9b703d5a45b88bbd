// Examples in memory: what every reader produces and every loader consumes.
#ifndef TOPIARY_WORKER_DATA_DATASET_H_
#define TOPIARY_WORKER_DATA_DATASET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// One array of a data set: axis 0 runs over the examples. float32 or int64.
struct DataArray {
  std::string name;
  Tensor values;
  // What messages call it ("column 'age' of people.csv"); empty: "array '<name>'".
  std::string origin = "";

  std::string Described() const;
  // Shape of one example: the array's without axis 0.
  Shape ExampleShape() const;
};

// All examples of one split. `inputs` are named after the model's inputs they
// feed. `labels` is int64 class indices of shape [size] (of sequences: [size, length], one for
// each position), or float32 targets of shape [size] or [size, ...]; it may be empty (no name) for
// prediction.
// Movable; copied only by Clone(). Thread-compatible.
struct Dataset {
  std::vector<DataArray> inputs;
  DataArray labels;
  // Class names in the order of their indices, where the source gave names.
  std::vector<std::string> class_names;
  // Of the elements of an example of the only input, where the source gave names.
  std::vector<std::string> feature_names = {};

  int64_t size() const;
  bool has_labels() const { return !labels.name.empty(); }
  // Null if there is none of this name.
  const DataArray* FindInput(const std::string& name) const;
  DataArray* FindInput(const std::string& name);

  Dataset Clone() const;
};

// The examples `rows` of `dataset`, in that order; each must be in [0, size).
Dataset SelectRows(const Dataset& dataset, absl::Span<const int64_t> rows);

// What a model expects of its data.
struct DataRequirements {
  struct Input {
    std::string name;
    DType dtype = DType::kFloat32;  // float32 or int64.
    Shape example_shape;
    // Of int64: element i of an example must lie in [0, id_limits[i]), and may be anything where
    // that is INT64_MAX. Empty: no limits.
    std::vector<int64_t> id_limits = {};
  };
  std::vector<Input> inputs;
  // Labels are class indices in [0, class_count) if > 0, else float32 targets; of `label_shape`
  // per example.
  int64_t class_count = 0;
  Shape label_shape;

  // Numbers that the model returns for one example: a score per class for each label, or a target.
  int64_t outputs_per_example() const {
    return label_shape.element_count() * (class_count > 0 ? class_count : 1);
  }
};

// Checks that `dataset` feeds such a model: every input there, dtype and example
// shape right (an example may be reshaped if its element count is right and its
// rank differs: [784] to [1,28,28]; `dataset` is changed so), the same number of examples
// everywhere, no NaN or infinity, ids and labels in range. INVALID_ARGUMENT naming array, row
// (counted from 0) and remedy. `source` is what the message calls the data ("spec.data.train").
absl::Status ConformDataset(const std::string& source, const DataRequirements& requirements,
                            Dataset& dataset);

// Deterministic split of [0, size) into a part of `holdout_fraction` in (0, 1) (rounded,
// at least one example on each side) and the rest, both in ascending order. Depends on the
// arguments alone. INVALID_ARGUMENT if size < 2 or the fraction is outside (0, 1).
struct SplitRows {
  std::vector<int64_t> train;
  std::vector<int64_t> holdout;
};
absl::StatusOr<SplitRows> SplitBySeed(int64_t size, double holdout_fraction, uint64_t seed);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_DATASET_H_
