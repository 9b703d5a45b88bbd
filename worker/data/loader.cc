#include "worker/data/loader.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <exception>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/mutex.h"
#include "common/random.h"

namespace topiary {
namespace {

// Where the next batch comes from.
struct Cursor {
  int64_t epoch = 0;
  int64_t batch = 0;
};

// Makes batches; all that the loader's thread does. One thread only.
class BatchMaker {
 public:
  BatchMaker(const Dataset& dataset, const LoaderOptions& options, int64_t batches_per_epoch)
      : dataset_(dataset), options_(options), batches_per_epoch_(batches_per_epoch) {}

  // Makes the batch at `cursor`, in the memory of `old` where its size allows.
  Batch Make(const Cursor& cursor, Batch old) {
    const int64_t first = cursor.batch * options_.batch_size;
    Batch batch = std::move(old);
    batch.epoch = cursor.epoch;
    batch.index = cursor.batch;
    batch.size = std::min(options_.batch_size, dataset_.size() - first);
    if (options_.shuffle && cursor.epoch != order_epoch_) {
      order_ = Permutation(options_.seed, kStreamDataShuffle, static_cast<uint64_t>(cursor.epoch),
                           static_cast<uint32_t>(dataset_.size()));
      order_epoch_ = cursor.epoch;
    }
    batch.inputs.resize(dataset_.inputs.size());
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      Gather(dataset_.inputs[i].values, first, batch.size, batch.inputs[i]);
    }
    if (dataset_.has_labels()) Gather(dataset_.labels.values, first, batch.size, batch.labels);
    return batch;
  }

  Cursor After(const Cursor& cursor) const {
    return cursor.batch + 1 < batches_per_epoch_ ? Cursor{cursor.epoch, cursor.batch + 1}
                                                 : Cursor{cursor.epoch + 1, 0};
  }

 private:
  void Gather(const Tensor& from, int64_t first, int64_t count, Tensor& to) const {
    const Shape shape = from.shape().WithDim(0, count);
    if (to.dtype() != from.dtype() || to.shape() != shape) to = Tensor(from.dtype(), shape);
    const size_t row_bytes = from.byte_size() / static_cast<size_t>(from.shape()[0]);
    const char* source = static_cast<const char*>(from.raw_data());
    char* out = static_cast<char*>(to.raw_data());
    if (!options_.shuffle) {
      std::memcpy(out, source + static_cast<size_t>(first) * row_bytes,
                  static_cast<size_t>(count) * row_bytes);
      return;
    }
    for (int64_t i = 0; i < count; ++i, out += row_bytes) {
      std::memcpy(out, source + order_[static_cast<size_t>(first + i)] * row_bytes, row_bytes);
    }
  }

  const Dataset& dataset_;
  const LoaderOptions options_;
  const int64_t batches_per_epoch_;
  std::vector<uint32_t> order_;  // Of order_epoch_.
  int64_t order_epoch_ = -1;
};

class PrefetchingLoader : public Loader {
 public:
  PrefetchingLoader(const Dataset& dataset, const LoaderOptions& options, int64_t batches_per_epoch)
      : prefetch_(static_cast<size_t>(options.prefetch)),
        batches_per_epoch_(batches_per_epoch),
        maker_(dataset, options, batches_per_epoch),
        thread_([this] { Produce(); }) {}

  ~PrefetchingLoader() override {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
      changed_.SignalAll();
    }
    thread_.join();
  }

  int64_t batches_per_epoch() const override { return batches_per_epoch_; }

  const Batch& Next() override {
    MutexLock lock(&mutex_);
    if (current_.size > 0) spare_.push_back(std::move(current_));
    current_ = Batch();
    while (ready_.empty() && failure_ == nullptr) changed_.Wait(&mutex_);
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    current_ = std::move(ready_.front());
    ready_.pop_front();
    changed_.SignalAll();
    return current_;
  }

  void Seek(int64_t epoch, int64_t batch) override {
    CHECK(epoch >= 0 && batch >= 0 && batch < batches_per_epoch_)
        << "epoch " << epoch << ", batch " << batch;
    MutexLock lock(&mutex_);
    cursor_ = {epoch, batch};
    ++generation_;
    while (!ready_.empty()) {
      spare_.push_back(std::move(ready_.front()));
      ready_.pop_front();
    }
    changed_.SignalAll();
  }

 private:
  // Memory may run out here as anywhere: whoever waits for the batch hears of it.
  void Produce() {
    try {
      ProduceUntilStopped();
    } catch (...) {
      MutexLock lock(&mutex_);
      failure_ = std::current_exception();
      changed_.SignalAll();
    }
  }

  void ProduceUntilStopped() {
    while (true) {
      Cursor cursor;
      uint64_t generation;
      Batch old;
      {
        MutexLock lock(&mutex_);
        while (!stopping_ && ready_.size() >= prefetch_) changed_.Wait(&mutex_);
        if (stopping_) return;
        cursor = cursor_;
        generation = generation_;
        if (!spare_.empty()) {
          old = std::move(spare_.back());
          spare_.pop_back();
        }
      }
      Batch batch = maker_.Make(cursor, std::move(old));
      MutexLock lock(&mutex_);
      if (generation != generation_) {  // Seek() came between: this batch is not wanted any more.
        spare_.push_back(std::move(batch));
        continue;
      }
      cursor_ = maker_.After(cursor);
      ready_.push_back(std::move(batch));
      changed_.SignalAll();
    }
  }

  const size_t prefetch_;
  const int64_t batches_per_epoch_;
  BatchMaker maker_;  // Used by thread_ alone.

  Mutex mutex_;
  CondVar changed_;
  std::exception_ptr failure_ ABSL_GUARDED_BY(mutex_);
  Cursor cursor_ ABSL_GUARDED_BY(mutex_);  // Of the batch to make next.
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Batch> ready_ ABSL_GUARDED_BY(mutex_);
  std::vector<Batch> spare_ ABSL_GUARDED_BY(mutex_);  // Memory to use again.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Batch current_;  // Of the caller's thread.

  std::thread thread_;  // Last, so that all it uses is there before it starts.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Loader>> Loader::Create(const Dataset& dataset,
                                                       const LoaderOptions& options) {
  const int64_t size = dataset.size();
  if (options.batch_size < 1 || options.prefetch < 1) {
    return absl::InvalidArgumentError(absl::StrCat("batches of ", options.batch_size, ", ",
                                                   options.prefetch,
                                                   " ahead: both must be at least 1"));
  }
  const int64_t batches = options.drop_remainder
                              ? size / options.batch_size
                              : size / options.batch_size + (size % options.batch_size != 0);
  if (batches == 0 || size > UINT32_MAX) {
    return absl::InvalidArgumentError(absl::StrCat("a data set of ", size,
                                                   " examples gives no batches of ",
                                                   options.batch_size, "; use a smaller batch"));
  }
  return std::make_unique<PrefetchingLoader>(dataset, options, batches);
}

}  // namespace topiary
