#include "worker/prune/calibrated_layer.h"

#include <exception>

#include "common/check.h"

namespace topiary {

std::vector<double> ReadOutputs(const PrunableLayer& layer, int64_t group,
                                absl::Span<const float> weight) {
  CHECK_EQ(static_cast<int64_t>(weight.size()), layer.element_count());
  std::vector<double> outputs(layer.cols * layer.rows);
  for (int64_t row = 0; row < layer.rows; ++row) {
    const int64_t offset = layer.Offset(group, row, 0);
    for (int64_t col = 0; col < layer.cols; ++col) {
      outputs[col * layer.rows + row] = weight[offset + col * layer.col_stride];
    }
  }
  return outputs;
}

void WriteOutputs(const PrunableLayer& layer, int64_t group, absl::Span<const double> outputs,
                  absl::Span<float> weight) {
  CHECK_EQ(static_cast<int64_t>(outputs.size()), layer.cols * layer.rows);
  for (int64_t row = 0; row < layer.rows; ++row) {
    const int64_t offset = layer.Offset(group, row, 0);
    for (int64_t col = 0; col < layer.cols; ++col) {
      weight[offset + col * layer.col_stride] = static_cast<float>(outputs[col * layer.rows + row]);
    }
  }
}

void OnEachThread(Backend* backend, const std::function<void(int)>& body) {
  std::vector<std::exception_ptr> thrown(backend->info().threads);
  backend->OnEachThread([&](int thread) {
    try {
      body(thread);
    } catch (...) {
      thrown[thread] = std::current_exception();
    }
  });
  for (const std::exception_ptr& exception : thrown) {
    if (exception != nullptr) std::rethrow_exception(exception);
  }
}

void ForEachInParallel(Backend* backend, int64_t items, const std::function<void(int64_t)>& body) {
  const int threads = backend == nullptr ? 1 : backend->info().threads;
  if (threads == 1 || items < 2) {
    for (int64_t i = 0; i < items; ++i) body(i);
    return;
  }
  OnEachThread(backend, [&](int thread) {
    for (int64_t i = thread; i < items; i += threads) body(i);
  });
}

Support SelectWithinOutputs(const BlockPartition& partition, absl::Span<const float> scores,
                            int64_t keep) {
  const int64_t down = partition.block_rows();
  const int64_t across = partition.block_cols();
  const int64_t columns = partition.layer().groups * across;
  Support support(partition.block_count(), 0);
  std::vector<float> of_column(down);
  for (int64_t column = 0; column < columns; ++column) {
    const int64_t first = column / across * down * across + column % across;
    for (int64_t row = 0; row < down; ++row) of_column[row] = scores[first + row * across];
    const int64_t share = (column + 1) * keep / columns - column * keep / columns;
    const Support kept = SelectTopBlocks(of_column, {}, share);
    for (int64_t row = 0; row < down; ++row) support[first + row * across] = kept[row];
  }
  return support;
}

}  // namespace topiary
