#include "bench/block_sparse_layer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/convolution_layers.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/planned_kernel.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/kernels/blocksparse/block_sparse_matmul.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/kernels/simd/cpu_isa.h"
#include "worker/tensor/tensor.h"

namespace topiary {
namespace {

constexpr int kWarmUps = 3;

struct Shape2D {
  int64_t rows;
  int64_t cols;
};
constexpr Shape2D kBlocks[] = {{64, 64}, {32, 32}, {16, 16}, {8, 8}, {4, 4}, {1, 8}, {8, 1}};
constexpr double kDensities[] = {0.5, 0.25, 0.1, 0.05};
constexpr int64_t kBatches[] = {64, 256, 1024};
constexpr int64_t kBatchOfGradients = 256;

void FillRandomly(float* data, int64_t count, uint64_t stream) {
  Random random(1, kStreamTest, stream);
  for (int64_t i = 0; i < count; ++i) data[i] = random.Normal();
}

TensorDescription Matrix(int64_t rows, int64_t cols) {
  return {Shape({rows, cols}), DType::kFloat32, Layout::Plain()};
}

// Begins a cache line, as operands in a program do.
Tensor Floats(int64_t count) { return Tensor(DType::kFloat32, Shape({count})); }

// A layer [size, size] of which some blocks are left, in W and in the dense operands alike.
class Layer {
 public:
  Layer(const BlockSparseLayerOptions& options, const Shape2D& block, double density)
      : size_(options.size) {
    const int64_t down = (size_ - 1) / block.rows + 1, across = (size_ - 1) / block.cols + 1;
    // Exactly the density asked for, at places drawn by chance.
    std::vector<uint8_t> kept(down * across, 0);
    const auto count = std::llround(density * static_cast<double>(kept.size()));
    const std::vector<uint32_t> order =
        Permutation(2, kStreamTest, 0, static_cast<uint32_t>(kept.size()));
    for (int64_t i = 0; i < count; ++i) kept[order[i]] = 1;
    pattern_ = *BlockSparsePattern::Create(size_, size_, block.rows, block.cols, kept);
    weights_.resize(size_ * size_);
    FillRandomly(weights_.data(), size_ * size_, 3);
    for (int64_t i = 0; i < size_; ++i) {
      for (int64_t j = 0; j < size_; ++j) {
        if (kept[i / block.rows * across + j / block.cols] == 0) weights_[i * size_ + j] = 0;
      }
    }
  }

  const BlockSparsePattern& pattern() const { return pattern_; }
  const std::vector<float>& weights() const { return weights_; }
  double density() const {
    return static_cast<double>(pattern_.kept_elements()) / static_cast<double>(size_ * size_);
  }

 private:
  const int64_t size_;
  BlockSparsePattern pattern_;
  std::vector<float> weights_;
};

class Benchmark {
 public:
  Benchmark(const BlockSparseLayerOptions& options, CpuBackend* backend, BenchmarkRun* run)
      : options_(options),
        size_(options.size),
        isa_(backend->own_isa()),
        backend_(backend),
        run_(run) {}

  absl::Status Run() {
    for (const Shape2D& block : kBlocks) {
      std::vector<double> efficiencies;
      for (const double density : kDensities) {
        const Layer layer(options_, block, density);
        for (const int64_t batch : kBatches) {
          const std::string name =
              absl::StrFormat("%dx%d/%.2f/%d", block.rows, block.cols, density, batch);
          ASSIGN_OR_RETURN(const double speed_up,
                           Product(layer, batch, /*transposed=*/false, name));
          efficiencies.push_back(speed_up * layer.density());
          if (batch != kBatchOfGradients) continue;
          RETURN_IF_ERROR(
              Product(layer, batch, /*transposed=*/true, absl::StrCat("data_gradient/", name))
                  .status());
          RETURN_IF_ERROR(WeightGradient(layer, batch, absl::StrCat("weight_gradient/", name)));
        }
      }
      const double median = Median(efficiencies);
      run_->rows.push_back({absl::StrFormat("%dx%d/efficiency", block.rows, block.cols), 1, median,
                            median, "1", RelativeSpread(efficiencies)});
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<PlannedKernel> Dense(const MatMulParameters& p, const TensorDescription& a,
                                      const TensorDescription& b, const TensorDescription& dst) {
    return PlannedKernel::Create(backend_, {OpKind::kMatMul, p, {a, b, dst}});
  }

  // The forward product, or, with the transposed weights, the gradient of the data.
  absl::StatusOr<double> Product(const Layer& layer, int64_t batch, bool transposed,
                                 const std::string& name) {
    MatMulParameters p;
    p.transpose_b = transposed;
    const TensorDescription rows = Matrix(batch, size_);
    ASSIGN_OR_RETURN(PlannedKernel dense, Dense(p, rows, Matrix(size_, size_), rows));
    FillRandomly(dense.operand(0), batch * size_, 4);
    std::copy(layer.weights().begin(), layer.weights().end(), dense.operand(1));
    const BlockSparsePattern& pattern = layer.pattern();
    ASSIGN_OR_RETURN(BlockSparseMatMul ours,
                     BlockSparseMatMul::Create(transposed ? pattern.Transposed() : pattern, batch,
                                               isa_, options_.threads));
    const float* weights = layer.weights().data();
    Tensor packed = Floats(ours.packed_floats()), scratch = Floats(ours.scratch_floats());
    ours.Pack(transposed ? MatrixView{weights, 1, size_} : MatrixView{weights, size_, 1}, 1,
              packed.data<float>());
    Tensor y = Floats(batch * size_);
    return Measure(
        name,
        [&] {
          ours.Run(dense.operand(0), packed.data<float>(), nullptr, false, scratch.data<float>(),
                   y.data<float>());
        },
        [&] { dense.Run(); }, y, dense.operand(2));
  }

  absl::Status WeightGradient(const Layer& layer, int64_t batch, const std::string& name) {
    MatMulParameters p;
    p.transpose_a = true;
    const TensorDescription rows = Matrix(batch, size_);
    ASSIGN_OR_RETURN(PlannedKernel dense, Dense(p, rows, rows, Matrix(size_, size_)));
    FillRandomly(dense.operand(0), batch * size_, 6);
    FillRandomly(dense.operand(1), batch * size_, 7);
    ASSIGN_OR_RETURN(
        BlockSparseWeightGradient ours,
        BlockSparseWeightGradient::Create(layer.pattern(), batch, isa_, options_.threads));
    Tensor d_w = Floats(size_ * size_), scratch = Floats(ours.scratch_floats());
    // Where nothing is kept, the dense gradient counts as the right one.
    dense.Run();
    std::copy_n(dense.operand(2), size_ * size_, d_w.data<float>());
    for (int64_t i = 0; i < size_ * size_; ++i) {
      if (layer.pattern().Keeps(i / size_, i % size_)) d_w.data<float>()[i] = std::nanf("");
    }
    return Measure(
               name,
               [&] {
                 ours.Run(dense.operand(0), dense.operand(1), {d_w.data<float>(), size_, 1}, 1,
                          scratch.data<float>());
               },
               [&] { dense.Run(); }, d_w, dense.operand(2))
        .status();
  }

  // Compares results and times, adds a row, and returns the ratio.
  absl::StatusOr<double> Measure(const std::string& name, const std::function<void()>& ours,
                                 const std::function<void()>& dense, const Tensor& result,
                                 const float* expected) {
    for (int i = 0; i < kWarmUps; ++i) {
      ours();
      dense();
    }
    const double difference = RelativeDifference(
        result.data<float>(), absl::MakeConstSpan(expected, result.element_count()));
    if (!(difference <= 1e-5)) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, ": the results differ by ", difference, " of the largest number"));
    }
    ASSIGN_OR_RETURN(const Comparison c,
                     Compare(options_.pairs, TimedCalls(0, options_.seconds_per_side, ours),
                             TimedCalls(0, options_.seconds_per_side, dense)));
    run_->rows.push_back(RowOf(name, c));
    return c.ratio;
  }

  const BlockSparseLayerOptions& options_;
  const int64_t size_;
  const CpuIsa isa_;
  Backend* const backend_;
  BenchmarkRun* const run_;
};

}  // namespace

absl::StatusOr<BenchmarkRun> RunBlockSparseLayer(const BlockSparseLayerOptions& options) {
  CpuBackendOptions backend_options;
  backend_options.threads = options.threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  BenchmarkRun run;
  run.benchmark = "block-sparse-layer";
  run.peer = "dense oneDNN";
  run.machine = DescribeMachine(backend->info());
  ASSIGN_OR_RETURN(run.peak_gflops, PeakGflops(backend.get()));
  ASSIGN_OR_RETURN(run.peak_gbytes_per_s, PeakGbytesPerSecond(backend.get()));
  for (const std::string& kind : options.kinds) {
    if (kind == "matrix") {
      RETURN_IF_ERROR(Benchmark(options, backend.get(), &run).Run());
    } else if (kind == "convolution") {
      RETURN_IF_ERROR(RunConvolutionLayers(options, backend.get(), &run));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("no layer is a '", kind, "'; there are matrix and convolution"));
    }
  }
  return run;
}

}  // namespace topiary
