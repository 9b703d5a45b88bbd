#include "worker/kernels/op_description.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "worker/kernels/operand_order.h"

namespace topiary {
namespace {

class NamedLayout : public OpaqueLayout {
 public:
  NamedLayout(std::string name, size_t bytes) : name_(std::move(name)), bytes_(bytes) {}
  size_t bytes() const override { return bytes_; }
  bool Equals(const OpaqueLayout& other) const override { return ToString() == other.ToString(); }
  std::string ToString() const override { return name_; }

 private:
  std::string name_;
  size_t bytes_;
};

TensorDescription Plain(const Shape& shape) { return {shape, DType::kFloat32, Layout::Plain()}; }

TEST(Layout, OpaqueLayoutsCompareByContentAndNeverEqualPlain) {
  const Layout a = Layout::Opaque(std::make_shared<NamedLayout>("nchw16c", 64));
  const Layout b = Layout::Opaque(std::make_shared<NamedLayout>("nchw16c", 64));
  const Layout c = Layout::Opaque(std::make_shared<NamedLayout>("nchw8c", 64));
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_NE(a, Layout::Plain());
  EXPECT_NE(Layout::Any(), Layout::Plain());
}

TEST(Layout, BytesAreThoseOfTheLayoutWithItsPadding) {
  EXPECT_EQ(Plain({2, 3}).bytes(), 24u);
  const TensorDescription padded{
      {2, 3}, DType::kFloat32, Layout::Opaque(std::make_shared<NamedLayout>("x", 128))};
  EXPECT_EQ(padded.bytes(), 128u);
}

TEST(OpDescription, RunningStatisticsAreReadAndWritten) {
  BatchNormParameters p;
  p.fused_add = true;
  OpDescription op{OpKind::kBatchNormForwardTraining, p, {}};
  op.operands.assign(9, Plain({4}));
  const BatchNormForwardOrder order(p);
  EXPECT_EQ(AccessOf(op, order.variance), OperandAccess::kReadWrite);
  EXPECT_EQ(AccessOf(op, order.residual), OperandAccess::kRead);
  EXPECT_EQ(AccessOf(op, order.dst), OperandAccess::kWrite);
  EXPECT_EQ(AccessOf(op, order.saved_inverse_std), OperandAccess::kWrite);
}

TEST(OpDescription, AttentionBackwardWritesThreeGradients) {
  AttentionParameters p;
  p.has_mask = true;
  OpDescription op{OpKind::kAttentionBackward, p, {}};
  op.operands.assign(8, Plain({4}));
  const AttentionBackwardOrder order(p);
  EXPECT_EQ(AccessOf(op, order.d_dst), OperandAccess::kRead);
  for (const int written : {order.d_query, order.d_key, order.d_value}) {
    EXPECT_EQ(AccessOf(op, written), OperandAccess::kWrite);
  }
}

TEST(OpDescription, AnAccumulatingProductReadsItsDst) {
  MatMulParameters p;
  OpDescription op{OpKind::kMatMul, p, {Plain({2, 3}), Plain({3, 4}), Plain({2, 4})}};
  EXPECT_EQ(AccessOf(op, 2), OperandAccess::kWrite);
  p.accumulate = true;
  op.parameters = p;
  EXPECT_EQ(AccessOf(op, 2), OperandAccess::kReadWrite);
}

TEST(OpDescription, BatchNormBackwardOrderFollowsItsOptions) {
  BatchNormParameters p;
  EXPECT_EQ(BatchNormBackwardOrder(p).d_dst, 1);
  EXPECT_EQ(BatchNormBackwardOrder(p).count, 8);
  p.fused_relu = p.fused_add = p.sum_d_dst = true;
  const BatchNormBackwardOrder order(p);
  EXPECT_EQ(order.dst, 1);
  EXPECT_EQ(order.d_dst_2, 3);
  EXPECT_EQ(order.d_residual, 10);
  EXPECT_EQ(order.count, 11);
}

TEST(OpDescription, ABroadcastOperandCannotBeOverwritten) {
  const OpDescription op{
      OpKind::kBinary, BinaryParameters(), {Plain({3}), Plain({2, 3}), Plain({2, 3})}};
  const std::vector<InPlacePair> pairs = InPlaceOperands(op);
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].read, 1);
  EXPECT_EQ(pairs[0].written, 2);
}

TEST(OpDescription, AnotherLayoutCannotBeOverwritten) {
  OpDescription op{OpKind::kUnaryForward, UnaryParameters(), {Plain({4}), Plain({4})}};
  EXPECT_EQ(InPlaceOperands(op).size(), 1u);
  op.operands[1].layout = Layout::Opaque(std::make_shared<NamedLayout>("x", 16));
  EXPECT_TRUE(InPlaceOperands(op).empty());
}

TEST(OpDescription, ConvolutionsAreNeverInPlace) {
  const OpDescription op{OpKind::kConvolutionForward,
                         ConvolutionParameters(),
                         {Plain({1, 4, 4, 4}), Plain({4, 4, 1, 1}), Plain({1, 4, 4, 4})}};
  EXPECT_TRUE(InPlaceOperands(op).empty());
}

TEST(OpDescription, OptimizersHaveTheSlotsTheyNeed) {
  OptimizerParameters p;
  EXPECT_EQ(OptimizerSlotCount(p), 0);
  p.momentum = 0.9f;
  EXPECT_EQ(OptimizerSlotCount(p), 1);
  p.kind = OptimizerKind::kAdamW;
  EXPECT_EQ(OptimizerSlotCount(p), 2);
}

}  // namespace
}  // namespace topiary
