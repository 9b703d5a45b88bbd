// Products of bfloat16 beside the reference. They run where the processor has bfloat16: elsewhere
// the backend refuses to be made, and these tests are skipped.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include "worker/kernels/conformance/conformance_case.h"
#include "worker/kernels/conformance/conformance_runner.h"
#include "worker/kernels/cpu/cpu_backend.h"

namespace topiary {
namespace {

// Two roundings by at most 2^-9 each in every term, of which most average out.
constexpr double kTolerance = 2e-2;

absl::StatusOr<std::unique_ptr<CpuBackend>> Create(Precision precision) {
  CpuBackendOptions options;
  options.threads = 2;
  options.precision = precision;
  return CpuBackend::Create(options);
}

class Bfloat16 : public testing::Test {
 protected:
  void SetUp() override {
    auto backend = Create(Precision::kBfloat16);
    if (absl::IsFailedPrecondition(backend.status())) {
      GTEST_SKIP() << "this processor has no bfloat16: " << backend.status().message();
    }
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }

  std::unique_ptr<Backend> backend_;
};

struct ProductCase {
  ConformanceCase test_case;
  friend std::ostream& operator<<(std::ostream& out, const ProductCase& product) {
    return out << product.test_case.name;
  }
};

std::vector<ProductCase> ProductCases() {
  ConformanceCases cases;
  AddMatMulCases(&cases);
  AddConvolutionCases(&cases);
  std::vector<ProductCase> products;
  for (ConformanceCase& test_case : cases) {
    test_case.tolerance = kTolerance;
    products.push_back({std::move(test_case)});
  }
  return products;
}

class Bfloat16Products : public Bfloat16, public testing::WithParamInterface<ProductCase> {};

TEST_P(Bfloat16Products, AreThoseOfTheReferenceButForRounding) {
  CheckConformance(backend_.get(), GetParam().test_case);
}

INSTANTIATE_TEST_SUITE_P(All, Bfloat16Products, testing::ValuesIn(ProductCases()),
                         [](const auto& info) { return info.param.test_case.name; });

TensorDescription Plain(const Shape& shape) { return {shape, DType::kFloat32, Layout::Plain()}; }

ConvolutionParameters OnePixel() {
  ConvolutionParameters p;
  p.strides = p.dilations = {1, 1};
  p.pads_begin = p.pads_end = {0, 0};
  return p;
}

struct Product {
  const char* name;
  OpDescription op;  // Two factors of two elements; the result has one.
};

class Bfloat16Rounding : public Bfloat16, public testing::WithParamInterface<Product> {};

// The last bit of 1 + 2^-10 is none of bfloat16, but one of float32.
TEST_P(Bfloat16Rounding, IsOfTheFactorsAndNotOfTheirSum) {
  const float bit = std::ldexp(1.0F, -10);
  const auto planned = backend_->Plan(GetParam().op);
  ASSERT_TRUE(planned.ok()) << planned.status();
  Kernel& kernel = **planned;
  std::vector<Buffer> buffers;
  std::vector<void*> pointers;
  for (const TensorDescription& operand : kernel.operands()) {
    buffers.push_back(*backend_->Allocate(operand.bytes()));
    pointers.push_back(buffers.back().data());
  }
  const auto fill = [&](int operand, float first, float second) {
    static_cast<float*>(pointers[operand])[0] = first;
    static_cast<float*>(pointers[operand])[1] = second;
  };
  fill(0, 1 + bit, bit);
  fill(1, 1, 1);
  const Buffer scratch = *backend_->Allocate(kernel.scratch_bytes());
  kernel.Bind(pointers, scratch.data());
  kernel.Run();
  EXPECT_EQ(*static_cast<float*>(pointers[2]), 1 + bit);
}

INSTANTIATE_TEST_SUITE_P(
    All, Bfloat16Rounding,
    testing::Values(Product{"MatMul",
                            {OpKind::kMatMul,
                             MatMulParameters(),
                             {Plain({1, 2}), Plain({2, 1}), Plain({1, 1})}}},
                    Product{"ConvolutionForward",
                            {OpKind::kConvolutionForward,
                             OnePixel(),
                             {Plain({1, 2, 1, 1}), Plain({1, 2, 1, 1}), Plain({1, 1, 1, 1})}}},
                    Product{"ConvolutionBackwardData",
                            {OpKind::kConvolutionBackwardData,
                             OnePixel(),
                             {Plain({1, 2, 1, 1}), Plain({2, 1, 1, 1}), Plain({1, 1, 1, 1})}}},
                    Product{"ConvolutionBackwardWeights",
                            {OpKind::kConvolutionBackwardWeights,
                             OnePixel(),
                             {Plain({2, 1, 1, 1}), Plain({2, 1, 1, 1}), Plain({1, 1, 1, 1})}}}),
    [](const auto& info) { return info.param.name; });

// Attention, BatchNormalization and the like are own kernels, and products of kept blocks are too.
TEST_F(Bfloat16, ChangesNothingElse) {
  auto float32 = Create(Precision::kFloat32);
  ASSERT_TRUE(float32.ok()) << float32.status();
  for (const ConformanceCase& test_case : AllConformanceCases()) {
    switch (test_case.op.kind) {
      case OpKind::kMatMul:
      case OpKind::kConvolutionForward:
      case OpKind::kConvolutionBackwardData:
      case OpKind::kConvolutionBackwardWeights:
        continue;
      default:
        break;
    }
    SCOPED_TRACE(test_case.name);
    const auto want = RunConformanceCase(float32->get(), test_case, {});
    const auto got = RunConformanceCase(backend_.get(), test_case, {});
    ASSERT_EQ(want.status(), got.status());
    if (!want.ok()) continue;
    for (size_t i = 0; i < want->size(); ++i) EXPECT_TRUE(BitwiseEqual((*want)[i], (*got)[i]));
  }
}

TEST_F(Bfloat16, IsPartOfTheBackendsName) {
  EXPECT_EQ(backend_->info().precision, Precision::kBfloat16);
  EXPECT_EQ((*Create(Precision::kFloat32))->info().precision, Precision::kFloat32);
}

}  // namespace
}  // namespace topiary
