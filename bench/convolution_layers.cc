#include "bench/convolution_layers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/measure.h"
#include "bench/planned_kernel.h"
#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr int kWarmUps = 3;
constexpr int64_t kBatch = 8;

struct ConvolutionLayer {
  int64_t kernel;
  int64_t in;
  int64_t out;
  int64_t pixels;  // Of each side of the input.
  int64_t stride;
};
constexpr ConvolutionLayer kLayers[] = {
    {3, 64, 64, 56, 1},   {3, 128, 128, 28, 1},  {3, 256, 256, 14, 1}, {3, 512, 512, 7, 1},
    {3, 128, 128, 56, 2}, {1, 64, 256, 56, 1},   {1, 256, 64, 56, 1},  {1, 512, 128, 28, 1},
    {1, 128, 512, 28, 1}, {1, 1024, 256, 14, 1}, {1, 512, 2048, 7, 1}, {1, 256, 512, 56, 2},
};
constexpr int64_t kBlocks[] = {32, 16};
constexpr double kDensities[] = {0.25, 0.1};

std::vector<float> RandomNumbers(int64_t count, uint64_t stream) {
  Random random(1, kStreamTest, stream);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = random.Normal();
  return numbers;
}

TensorDescription WithLayout(const Shape& shape, Layout layout) {
  return {shape, DType::kFloat32, std::move(layout)};
}

// A layer, its input, and weights of which some blocks are left.
class Problem {
 public:
  Problem(const ConvolutionLayer& layer, int64_t block, double density)
      : src_({kBatch, layer.in, layer.pixels, layer.pixels}),
        weights_({layer.out, layer.in, layer.kernel, layer.kernel}),
        dst_({kBatch, layer.out, OutputPixels(layer), OutputPixels(layer)}) {
    const int64_t pad = layer.kernel / 2;
    parameters_.strides = {layer.stride, layer.stride};
    parameters_.dilations = {1, 1};
    parameters_.pads_begin = parameters_.pads_end = {pad, pad};
    const int64_t rows = layer.kernel * layer.kernel * layer.in;
    const int64_t blocks = (rows / block) * (layer.out / block);
    std::vector<uint8_t> kept(blocks, 0);
    const std::vector<uint32_t> order =
        Permutation(2, kStreamTest, 0, static_cast<uint32_t>(blocks));
    const int64_t count = std::max<int64_t>(1, std::llround(density * static_cast<double>(blocks)));
    for (int64_t i = 0; i < count; ++i) kept[order[i]] = 1;
    pattern_ = std::make_shared<const BlockSparsePattern>(
        *BlockSparsePattern::Create(rows, layer.out, block, block, kept));
    input_ = RandomNumbers(src_.element_count(), 3);
    weight_ = RandomNumbers(weights_.element_count(), 4);
    const int64_t taps = layer.kernel * layer.kernel;
    for (int64_t i = 0; i < weights_.element_count(); ++i) {
      const int64_t tap = i % taps, channel = i / taps % layer.in, out = i / taps / layer.in;
      if (!pattern_->Keeps(tap * layer.in + channel, out)) weight_[i] = 0;
    }
  }

  double density() const {
    return static_cast<double>(pattern_->kept_elements()) /
           static_cast<double>(pattern_->elements());
  }
  // Of input and output.
  double bytes() const {
    return static_cast<double>(src_.element_count() + dst_.element_count()) * sizeof(float);
  }

  // In the layouts that the backend likes best, with the operands filled.
  absl::StatusOr<PlannedKernel> Plan(Backend* backend, bool sparse) const {
    ConvolutionParameters p = parameters_;
    if (sparse) p.pattern = pattern_;
    ASSIGN_OR_RETURN(PlannedKernel kernel,
                     PlannedKernel::Create(backend, {OpKind::kConvolutionForward,
                                                     p,
                                                     {WithLayout(src_, Layout::Any()),
                                                      WithLayout(weights_, Layout::Any()),
                                                      WithLayout(dst_, Layout::Any())}}));
    RETURN_IF_ERROR(Fill(backend, input_, 0, &kernel));
    RETURN_IF_ERROR(Fill(backend, weight_, 1, &kernel));
    return kernel;
  }

  // The result in plain layout.
  absl::StatusOr<std::vector<float>> ResultOf(Backend* backend, PlannedKernel* kernel) const {
    kernel->Run();
    const TensorDescription& own = kernel->description(2);
    ASSIGN_OR_RETURN(
        PlannedKernel reorder,
        PlannedKernel::Create(backend,
                              {OpKind::kReorder, {}, {own, WithLayout(dst_, Layout::Plain())}}));
    std::memcpy(reorder.operand(0), kernel->operand(2), own.bytes());
    reorder.Run();
    return std::vector<float>(reorder.operand(1), reorder.operand(1) + dst_.element_count());
  }

 private:
  static int64_t OutputPixels(const ConvolutionLayer& layer) {
    return (layer.pixels - 1) / layer.stride + 1;
  }

  static absl::Status Fill(Backend* backend, const std::vector<float>& from, int operand,
                           PlannedKernel* kernel) {
    const TensorDescription& own = kernel->description(operand);
    ASSIGN_OR_RETURN(
        PlannedKernel reorder,
        PlannedKernel::Create(
            backend, {OpKind::kReorder, {}, {WithLayout(own.shape, Layout::Plain()), own}}));
    std::copy(from.begin(), from.end(), reorder.operand(0));
    reorder.Run();
    std::memcpy(kernel->operand(operand), reorder.operand(1), own.bytes());
    return absl::OkStatus();
  }

  const Shape src_;
  const Shape weights_;
  const Shape dst_;
  ConvolutionParameters parameters_;
  std::shared_ptr<const BlockSparsePattern> pattern_;
  std::vector<float> input_;
  std::vector<float> weight_;
};

struct Shares {
  std::vector<double> efficiency;
  std::vector<double> of_limit;
};

absl::Status RunLayer(const BlockSparseLayerOptions& options, const Problem& problem,
                      const std::string& name, Backend* backend, BenchmarkRun* run,
                      Shares* shares) {
  ASSIGN_OR_RETURN(PlannedKernel dense, problem.Plan(backend, /*sparse=*/false));
  ASSIGN_OR_RETURN(PlannedKernel ours, problem.Plan(backend, /*sparse=*/true));
  ASSIGN_OR_RETURN(const std::vector<float> expected, problem.ResultOf(backend, &dense));
  ASSIGN_OR_RETURN(const std::vector<float> result, problem.ResultOf(backend, &ours));
  const double difference = RelativeDifference(result.data(), expected);
  if (!(difference <= 1e-5)) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": the results differ by ", difference, " of the largest number"));
  }
  ASSIGN_OR_RETURN(
      const Comparison c,
      Compare(options.pairs, TimedCalls(kWarmUps, options.seconds_per_side, [&] { ours.Run(); }),
              TimedCalls(kWarmUps, options.seconds_per_side, [&] { dense.Run(); })));
  run->rows.push_back(RowOf(name, c));
  shares->efficiency.push_back(c.ratio * problem.density());
  const double limit =
      std::max(c.theirs * problem.density(), problem.bytes() / (run->peak_gbytes_per_s * 1e9));
  shares->of_limit.push_back(limit / c.ours);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunConvolutionLayers(const BlockSparseLayerOptions& options, Backend* backend,
                                  BenchmarkRun* run) {
  for (const int64_t block : kBlocks) {
    Shares shares;
    for (const ConvolutionLayer& layer : kLayers) {
      for (const double density : kDensities) {
        const std::string name = absl::StrFormat(
            "%dx%d_%d_%d_%d%s/%dx%d/%.2f", layer.kernel, layer.kernel, layer.in, layer.out,
            layer.pixels, layer.stride > 1 ? "_strided" : "", block, block, density);
        RETURN_IF_ERROR(
            RunLayer(options, Problem(layer, block, density), name, backend, run, &shares));
      }
    }
    const auto add = [&](const char* what, const std::vector<double>& values) {
      const double median = Median(values);
      run->rows.push_back({absl::StrFormat("convolutions/%dx%d/%s", block, block, what), 1, median,
                           median, "1", RelativeSpread(values)});
    };
    add("efficiency", shares.efficiency);
    add("of_limit", shares.of_limit);
  }
  return absl::OkStatus();
}

}  // namespace topiary
