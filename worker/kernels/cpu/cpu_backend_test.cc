#include "worker/kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/check.h"
#include "worker/kernels/backend_conformance.h"

namespace topiary {
namespace {

std::unique_ptr<Backend> NewCpuBackend(int threads) {
  CpuBackendOptions options;
  options.threads = threads;
  auto backend = CpuBackend::Create(options);
  CHECK(backend.ok()) << backend.status();
  return *std::move(backend);
}

std::unique_ptr<Backend> NewOneThread() { return NewCpuBackend(1); }
std::unique_ptr<Backend> NewTwoThreads() { return NewCpuBackend(2); }

INSTANTIATE_TEST_SUITE_P(OneThread, BackendConformance,
                         testing::ValuesIn(ConformanceTests(NewOneThread)), ConformanceTestName);
INSTANTIATE_TEST_SUITE_P(TwoThreads, BackendConformance,
                         testing::ValuesIn(ConformanceTests(NewTwoThreads)), ConformanceTestName);

TEST(CpuBackend, RefusesANegativeNumberOfThreads) {
  CpuBackendOptions options;
  options.threads = -1;
  EXPECT_EQ(CpuBackend::Create(options).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(CpuBackend, NamesWhatDeterminesItsBits) {
  const BackendInfo info = NewTwoThreads()->info();
  EXPECT_EQ(info.name, "onednn");
  EXPECT_EQ(info.threads, 2);
  EXPECT_FALSE(info.isa.empty());
  ASSERT_EQ(info.versions.size(), 1u);
  EXPECT_EQ(info.versions[0].first, "onednn");
}

TEST(CpuBackend, MemoryIsAlignedAndZeroed) {
  const std::unique_ptr<Backend> backend = NewOneThread();
  auto buffer = backend->Allocate(1000);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
  const char* bytes = static_cast<const char*>(buffer->data());
  EXPECT_EQ(std::count(bytes, bytes + 1000, 0), 1000);
}

TEST(CpuBackend, RefusesMoreMemoryThanThereIs) {
  const std::unique_ptr<Backend> backend = NewOneThread();
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX / 2}) {
    EXPECT_EQ(backend->Allocate(bytes).status().code(), absl::StatusCode::kResourceExhausted);
  }
}

// A convolution chooses blocks of channels, and what follows it stays in them: no reorder.
TEST(CpuBackend, NeighboursOfAConvolutionTakeItsLayout) {
  const std::unique_ptr<Backend> backend = NewTwoThreads();
  const auto any = [](const Shape& shape) {
    return TensorDescription{shape, DType::kFloat32, Layout::Any()};
  };
  ConvolutionParameters p;
  p.strides = p.dilations = p.pads_begin = p.pads_end = {1, 1};
  const auto convolution =
      backend->Plan({OpKind::kConvolutionForward,
                     p,
                     {any({2, 16, 8, 8}), any({32, 16, 3, 3}), any({2, 32, 8, 8})}});
  ASSERT_TRUE(convolution.ok()) << convolution.status();
  const TensorDescription dst = (*convolution)->operands()[2];
  EXPECT_FALSE(dst.layout.is_plain());
  const auto relu =
      backend->Plan({OpKind::kUnaryForward, UnaryParameters(), {dst, any(dst.shape)}});
  ASSERT_TRUE(relu.ok()) << relu.status();
  EXPECT_EQ((*relu)->operands()[1], dst);
}

TEST(CpuBackend, RefusesToMovePaddingAwayFromZero) {
  const std::unique_ptr<Backend> backend = NewOneThread();
  const auto any = [](const Shape& shape) {
    return TensorDescription{shape, DType::kFloat32, Layout::Any()};
  };
  ConvolutionParameters p;
  p.strides = p.dilations = {1, 1};
  p.pads_begin = p.pads_end = {0, 0};
  const auto convolution =
      backend->Plan({OpKind::kConvolutionForward,
                     p,
                     {any({2, 16, 8, 8}), any({10, 16, 1, 1}), any({2, 10, 8, 8})}});
  ASSERT_TRUE(convolution.ok()) << convolution.status();
  const TensorDescription dst = (*convolution)->operands()[2];
  if (dst.bytes() == static_cast<size_t>(dst.shape.element_count()) * sizeof(float)) {
    GTEST_SKIP() << "this machine's convolution pads nothing";
  }
  UnaryParameters sigmoid;
  sigmoid.function = UnaryFunction::kSigmoid;
  EXPECT_EQ(backend->Plan({OpKind::kUnaryForward, sigmoid, {dst, dst}}).status().code(),
            absl::StatusCode::kUnimplemented);
}

// Sums are cut by thread, so that two numbers of threads may differ; one number never does.
TEST(CpuBackend, EqualThreadsGiveEqualBits) {
  std::vector<float> results;
  for (int i = 0; i < 2; ++i) {
    const std::unique_ptr<Backend> backend = NewTwoThreads();
    const int64_t n = 100003;
    auto src = backend->Allocate(n * sizeof(float)), dst = backend->Allocate(64);
    ASSERT_TRUE(src.ok() && dst.ok());
    for (int64_t k = 0; k < n; ++k) {
      static_cast<float*>(src->data())[k] = 1 / static_cast<float>(k + 1);
    }
    const auto plain = [](const Shape& shape) {
      return TensorDescription{shape, DType::kFloat32, Layout::Plain()};
    };
    const auto kernel = backend->Plan({OpKind::kSumOfSquares, {}, {plain({n}), plain({1})}});
    ASSERT_TRUE(kernel.ok()) << kernel.status();
    auto scratch = backend->Allocate((*kernel)->scratch_bytes());
    ASSERT_TRUE(scratch.ok());
    void* buffers[] = {src->data(), dst->data()};
    (*kernel)->Bind(buffers, scratch->data());
    (*kernel)->Run();
    results.push_back(*static_cast<float*>(dst->data()));
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_NEAR(results[0], 1.6449241, 1e-5);
}

}  // namespace
}  // namespace topiary
