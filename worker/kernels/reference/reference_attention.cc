#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {
namespace {

// What both directions read.
struct AttentionOperands {
  AttentionOperands(const OpDescription& op, Buffers buffers)
      : scale(std::get<AttentionParameters>(op.parameters).scale) {
    const AttentionOrder order(std::get<AttentionParameters>(op.parameters));
    const Shape& of_query = op.operands[order.query].shape;
    const Shape& of_value = op.operands[order.value].shape;
    batch = of_query[0], queries = of_query[1], heads = of_query[2], depth = of_query[3];
    keys = of_value[1], width = of_value[3];
    query = F32(buffers, order.query);
    key = F32(buffers, order.key);
    value = F32(buffers, order.value);
    mask = order.mask < 0 ? nullptr : F32(buffers, order.mask);
  }

  // Rows of queries, over examples, queries and heads.
  int64_t rows() const { return batch * queries * heads; }
  // The row of keys and values that row `at` of queries meets as number `j`.
  int64_t KeyRow(int64_t at, int64_t j) const {
    const int64_t head = at % heads, example = at / heads / queries;
    return (example * keys + j) * heads + head;
  }

  // The weights of the keys for row `at` of queries.
  std::vector<double> Weights(int64_t at) const {
    const int64_t i = at / heads % queries;
    std::vector<double> weights(keys);
    for (int64_t j = 0; j < keys; ++j) {
      double sum = 0;
      for (int64_t c = 0; c < depth; ++c) {
        sum += double{query[at * depth + c]} * key[KeyRow(at, j) * depth + c];
      }
      weights[j] = scale * sum + (mask == nullptr ? 0.0 : mask[i * keys + j]);
    }
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    for (double& weight : weights) weight /= total;
    return weights;
  }

  double scale;
  int64_t batch, queries, heads, depth, keys, width;
  const float* query;
  const float* key;
  const float* value;
  const float* mask;
};

}  // namespace

void Attention(const OpDescription& op, Buffers buffers) {
  const AttentionOperands o(op, buffers);
  float* dst = F32(buffers, AttentionOrder(std::get<AttentionParameters>(op.parameters)).dst);
  for (int64_t at = 0; at < o.rows(); ++at) {
    const std::vector<double> weights = o.Weights(at);
    for (int64_t c = 0; c < o.width; ++c) {
      double sum = 0;
      for (int64_t j = 0; j < o.keys; ++j) {
        sum += weights[j] * o.value[o.KeyRow(at, j) * o.width + c];
      }
      dst[at * o.width + c] = static_cast<float>(sum);
    }
  }
}

void AttentionBackward(const OpDescription& op, Buffers buffers) {
  const AttentionOperands o(op, buffers);
  const AttentionBackwardOrder order(std::get<AttentionParameters>(op.parameters));
  const float* d_dst = F32(buffers, order.d_dst);
  std::vector<double> d_query(o.rows() * o.depth);
  std::vector<double> d_key(o.batch * o.keys * o.heads * o.depth);
  std::vector<double> d_value(o.batch * o.keys * o.heads * o.width);
  for (int64_t at = 0; at < o.rows(); ++at) {
    const std::vector<double> weights = o.Weights(at);
    std::vector<double> d_weights(o.keys);
    double mean = 0;  // Of d_weights, weighted.
    for (int64_t j = 0; j < o.keys; ++j) {
      const int64_t row = o.KeyRow(at, j);
      for (int64_t c = 0; c < o.width; ++c) {
        d_weights[j] += double{d_dst[at * o.width + c]} * o.value[row * o.width + c];
        d_value[row * o.width + c] += weights[j] * d_dst[at * o.width + c];
      }
      mean += weights[j] * d_weights[j];
    }
    for (int64_t j = 0; j < o.keys; ++j) {
      const int64_t row = o.KeyRow(at, j);
      const double d_score = o.scale * weights[j] * (d_weights[j] - mean);
      for (int64_t c = 0; c < o.depth; ++c) {
        d_query[at * o.depth + c] += d_score * o.key[row * o.depth + c];
        d_key[row * o.depth + c] += d_score * o.query[at * o.depth + c];
      }
    }
  }
  std::copy(d_query.begin(), d_query.end(), F32(buffers, order.d_query));
  std::copy(d_key.begin(), d_key.end(), F32(buffers, order.d_key));
  std::copy(d_value.begin(), d_value.end(), F32(buffers, order.d_value));
}

}  // namespace reference
}  // namespace topiary
