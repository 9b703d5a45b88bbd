// Batches of a data set in an order that depends on (seed, epoch) alone,
// prepared ahead of use on a thread of its own.
#ifndef TOPIARY_WORKER_DATA_LOADER_H_
#define TOPIARY_WORKER_DATA_LOADER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/dataset.h"
#include "worker/tensor/tensor.h"

namespace topiary {

struct LoaderOptions {
  int64_t batch_size = 32;
  // True: a new permutation each epoch, drawn from (seed, epoch). False: the data set's order.
  bool shuffle = true;
  // True: the last examples that do not fill a batch are left out of the epoch
  // (training). False: they are a smaller last batch (evaluation).
  bool drop_remainder = true;
  uint64_t seed = 0;
  // Batches prepared ahead: memory is bounded by this many plus one.
  int prefetch = 2;
};

// One batch. Tensors are in the order of Dataset::inputs; axis 0 is `size`.
struct Batch {
  int64_t epoch = 0;
  int64_t index = 0;  // Of the batch within its epoch.
  int64_t size = 0;
  std::vector<Tensor> inputs;
  Tensor labels;  // Shape [0] if the data set has none.
};

// An endless sequence of batches: epoch after epoch, each of
// batches_per_epoch(). Bit-identical whatever the timing of the two threads.
//
// One thread may use it; the loader's own thread only reads the data set, which
// must outlive it unchanged. The destructor stops and joins the thread.
class Loader {
 public:
  // INVALID_ARGUMENT if batch_size < 1, prefetch < 1, or no batch would ever be
  // produced (an empty data set, or fewer examples than a batch with drop_remainder).
  static absl::StatusOr<std::unique_ptr<Loader>> Create(const Dataset& dataset,
                                                        const LoaderOptions& options);
  virtual ~Loader() = default;

  virtual int64_t batches_per_epoch() const = 0;

  // The next batch; waits for it to be ready. The reference is valid until the
  // next call of Next(), Seek() or the destructor.
  virtual const Batch& Next() = 0;

  // Makes the next batch the one of `epoch` and `batch`, as though all before
  // had been taken; both are >= 0, batch < batches_per_epoch().
  virtual void Seek(int64_t epoch, int64_t batch) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_LOADER_H_
