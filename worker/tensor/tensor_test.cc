#include "worker/tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"

namespace topiary {
namespace {

TEST(Tensor, StartsAtZeroOnACacheLine) {
  const Tensor t(DType::kInt64, Shape({3, 5}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.raw_data()) % 64, 0u);
  for (int64_t v : t.span<int64_t>()) EXPECT_EQ(v, 0);
  EXPECT_EQ(t.byte_size(), 120u);
}

TEST(Tensor, AnEmptyTensorHasAnAddress) {
  const Tensor t(DType::kFloat32, Shape({0, 7}));
  EXPECT_EQ(t.element_count(), 0);
  EXPECT_NE(t.raw_data(), nullptr);
}

TEST(Tensor, ACloneSharesNothing) {
  Tensor a = Tensor::FromVector<float>(Shape({2}), {1, 2});
  const Tensor b = a.Clone();
  a.data<float>()[0] = 9;
  EXPECT_EQ(b.data<float>()[0], 1);
}

TEST(Tensor, WithoutElementsItKeepsItsShape) {
  Tensor a = Tensor::FromVector<float>(Shape({2}), {1, 2});
  a.DropElements();
  for (const Tensor& tensor : {a.Clone(), a.Clone().Clone()}) {
    EXPECT_FALSE(tensor.has_elements());
    EXPECT_EQ(tensor.shape(), Shape({2}));
    EXPECT_EQ(tensor.byte_size(), 8u);
  }
  EXPECT_DEATH(a.data<float>(), "dropped");
}

TEST(Tensor, ReshapingMovesTheElementsInOrder) {
  Tensor a = Tensor::FromVector<int32_t>(Shape({2, 3}), {1, 2, 3, 4, 5, 6});
  const Tensor b = std::move(a).Reshaped(Shape({3, 2}));
  EXPECT_EQ(b.shape(), Shape({3, 2}));
  EXPECT_EQ(b.data<int32_t>()[4], 5);
}

TEST(Tensor, BitwiseEqualityTellsSignedZerosApartAndNanEqual) {
  const auto one = [](float v) { return Tensor::Scalar(v); };
  EXPECT_FALSE(BitwiseEqual(one(0.0f), one(-0.0f)));
  EXPECT_TRUE(BitwiseEqual(one(NAN), one(NAN)));
  EXPECT_FALSE(
      BitwiseEqual(Tensor(DType::kFloat32, Shape({1})), Tensor(DType::kInt32, Shape({1}))));
}

TEST(TensorDeathTest, TheWrongElementTypeIsABug) {
  const Tensor t(DType::kFloat32, Shape({1}));
  EXPECT_DEATH(t.data<int64_t>(), "float32");
}

}  // namespace
}  // namespace topiary
