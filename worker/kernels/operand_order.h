// Where each operand of an operation with optional operands lies in its list,
// as the table in op_description.h says. -1: absent.
#ifndef TOPIARY_WORKER_KERNELS_OPERAND_ORDER_H_
#define TOPIARY_WORKER_KERNELS_OPERAND_ORDER_H_

#include "worker/kernels/op_description.h"

namespace topiary {

struct MatMulOrder {
  explicit MatMulOrder(const MatMulParameters& p)
      : bias(p.has_bias ? 2 : -1),
        residual(p.has_residual ? 2 + p.has_bias : -1),
        dst(2 + p.has_bias + p.has_residual) {}
  int a = 0;
  int b = 1;
  int bias;
  int residual;
  int dst;
};

struct ConvolutionForwardOrder {
  explicit ConvolutionForwardOrder(const ConvolutionParameters& p)
      : bias(p.has_bias ? 2 : -1), dst(p.has_bias ? 3 : 2) {}
  int src = 0;
  int weights = 1;
  int bias;
  int dst;
};

struct ConvolutionBackwardWeightsOrder {
  explicit ConvolutionBackwardWeightsOrder(const ConvolutionParameters& p)
      : d_bias(p.has_bias ? 3 : -1) {}
  int src = 0;
  int d_dst = 1;
  int d_weights = 2;
  int d_bias;
};

// Training and inference alike; `mean` and `variance` are the running ones.
struct BatchNormForwardOrder {
  explicit BatchNormForwardOrder(const BatchNormParameters& p)
      : residual(p.fused_add ? 5 : -1), dst(p.fused_add ? 6 : 5) {
    saved_mean = dst + 1;
    saved_inverse_std = dst + 2;
  }
  // Of kBatchNormForwardAgain.
  static BatchNormForwardOrder Again() {
    BatchNormForwardOrder order{BatchNormParameters()};
    order.mean = order.variance = -1;
    order.saved_mean = 3;
    order.saved_inverse_std = 4;
    return order;
  }
  int src = 0;
  int scale = 1;
  int bias = 2;
  int mean = 3;
  int variance = 4;
  int residual;
  int dst;
  int saved_mean;         // Not of inference.
  int saved_inverse_std;  // Not of inference.
};

struct BatchNormBackwardOrder {
  explicit BatchNormBackwardOrder(const BatchNormParameters& p) {
    int next = 1;
    dst = p.fused_relu ? next++ : -1;
    d_dst = next++;
    d_dst_2 = p.sum_d_dst ? next++ : -1;
    scale = next++;
    saved_mean = next++;
    saved_inverse_std = next++;
    d_src = next++;
    d_scale = next++;
    d_bias = next++;
    d_residual = p.fused_add ? next++ : -1;
    count = next;
  }
  int src = 0;
  int dst;
  int d_dst;
  int d_dst_2;
  int scale;
  int saved_mean;
  int saved_inverse_std;
  int d_src;
  int d_scale;
  int d_bias;
  int d_residual;
  int count;
};

struct LayerNormForwardOrder {
  explicit LayerNormForwardOrder(const LayerNormParameters& p)
      : bias(p.has_bias ? 2 : -1), dst(p.has_bias ? 3 : 2) {
    saved_mean = dst + 1;
    saved_inverse_std = dst + 2;
  }
  int src = 0;
  int scale = 1;
  int bias;
  int dst;
  int saved_mean;
  int saved_inverse_std;
};

struct LayerNormBackwardOrder {
  explicit LayerNormBackwardOrder(const LayerNormParameters& p) : d_bias(p.has_bias ? 7 : -1) {}
  int src = 0;
  int d_dst = 1;
  int scale = 2;
  int saved_mean = 3;
  int saved_inverse_std = 4;
  int d_src = 5;
  int d_scale = 6;
  int d_bias;
};

struct AttentionOrder {
  explicit AttentionOrder(const AttentionParameters& p)
      : mask(p.has_mask ? 3 : -1), dst(p.has_mask ? 4 : 3) {}
  int query = 0;
  int key = 1;
  int value = 2;
  int mask;
  int dst;
};

struct AttentionBackwardOrder {
  explicit AttentionBackwardOrder(const AttentionParameters& p)
      : mask(p.has_mask ? 3 : -1), d_dst(p.has_mask ? 4 : 3) {
    d_query = d_dst + 1;
    d_key = d_dst + 2;
    d_value = d_dst + 3;
  }
  int query = 0;
  int key = 1;
  int value = 2;
  int mask;
  int d_dst;
  int d_query;
  int d_key;
  int d_value;
};

struct PoolBackwardOrder {
  explicit PoolBackwardOrder(const PoolParameters& p)
      : workspace(p.kind == PoolKind::kMax ? 1 : -1), d_src(p.kind == PoolKind::kMax ? 2 : 1) {}
  int d_dst = 0;
  int workspace;
  int d_src;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_OPERAND_ORDER_H_
