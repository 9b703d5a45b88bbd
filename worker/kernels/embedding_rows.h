// A table in training of which each step reads few rows: gradients and updates are of these rows
// alone, and the others catch up when they are next read.
#ifndef TOPIARY_WORKER_KERNELS_EMBEDDING_ROWS_H_
#define TOPIARY_WORKER_KERNELS_EMBEDDING_ROWS_H_

#include <cstdint>
#include <vector>

namespace topiary {

// What the last updates of SGD with momentum do to a row that had no gradient in them. With m its
// momentum when it was last up to date, mu the factor of momentum and lr_i the learning rates since
// (i = 1, 2, ..): m becomes mu^i m, and the row loses (sum_i lr_i mu^i) m, or mu times that with
// Nesterov's momentum.
//
// Thread-compatible.
class MissedUpdates {
 public:
  MissedUpdates() = default;
  // `momentum` in (0, 1).
  MissedUpdates(float momentum, bool nesterov) : momentum_(momentum), nesterov_(nesterov) {}

  // Updates since the last Clear().
  int64_t count() const { return static_cast<int64_t>(learning_rates_.size()); }
  const std::vector<float>& learning_rates() const { return learning_rates_; }

  void Add(float learning_rate);
  void Clear();

  // Of a row that is up to date with the first `applied` of them, in [0, count()).
  float Decay(int64_t applied) const { return static_cast<float>(decay_[applied]); }
  float Displacement(int64_t applied) const { return static_cast<float>(displacement_[applied]); }

 private:
  double momentum_ = 0;
  bool nesterov_ = false;
  std::vector<float> learning_rates_;
  std::vector<double> decay_;
  std::vector<double> displacement_;
};

// The memory of `value` and `momentum` belongs to others. Thread-compatible.
struct EmbeddingRows {
  int64_t rows = 0;
  int64_t width = 0;
  float* value = nullptr;                 // [rows, width]
  float* momentum = nullptr;              // [rows, width]; null: SGD without momentum.
  const MissedUpdates* missed = nullptr;  // Null where momentum is.
  // [rows]: how many of `missed` each row has had.
  std::vector<int32_t> applied;

  // Of the step under way: the distinct rows it reads, in the order in which it does, and the
  // gradients of each.
  std::vector<int32_t> touched;
  std::vector<int32_t> place_of_row;    // [rows]: where in `touched`, -1: nowhere.
  std::vector<int32_t> place_of_index;  // Of each index: the same of the row that it names.
  std::vector<float> gradient;          // [touched, width]

  // The row that `index` names, of which negative ones count from the end; -1 where there is none.
  int64_t RowOf(int64_t index) const {
    if (index < 0) index += rows;
    return index < 0 || index >= rows ? -1 : index;
  }

  // Makes those that `indices` name the touched rows. Their gradients are not set.
  void Touch(const int64_t* indices, int64_t count);
  // Asks for a row that is wanted soon.
  void Prefetch(int64_t row) const;
  // Brings a row up to date.
  void CatchUp(int64_t row);
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_EMBEDDING_ROWS_H_
