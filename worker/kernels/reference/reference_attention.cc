#include <algorithm>
#include <cmath>
#include <vector>

#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_ops.h"

namespace topiary {
namespace reference {

void Attention(const OpDescription& op, Buffers buffers) {
  const auto& p = std::get<AttentionParameters>(op.parameters);
  const AttentionOrder order(p);
  const Shape& query = op.operands[order.query].shape;
  const Shape& value = op.operands[order.value].shape;
  const int64_t batch = query[0], queries = query[1], heads = query[2], depth = query[3];
  const int64_t keys = value[1], width = value[3];
  const float* q = F32(buffers, order.query);
  const float* k = F32(buffers, order.key);
  const float* v = F32(buffers, order.value);
  std::vector<double> scores(keys);
  for (int64_t at = 0; at < batch * queries * heads; ++at) {
    const int64_t head = at % heads, i = at / heads % queries, example = at / heads / queries;
    for (int64_t j = 0; j < keys; ++j) {
      double sum = 0;
      for (int64_t c = 0; c < depth; ++c) {
        sum += double{q[at * depth + c]} * k[((example * keys + j) * heads + head) * depth + c];
      }
      const double mask = order.mask < 0 ? 0.0 : F32(buffers, order.mask)[i * keys + j];
      scores[j] = p.scale * sum + mask;
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - largest);
    for (int64_t c = 0; c < width; ++c) {
      double sum = 0;
      for (int64_t j = 0; j < keys; ++j) {
        sum += scores[j] * v[((example * keys + j) * heads + head) * width + c];
      }
      F32(buffers, order.dst)[at * width + c] = static_cast<float>(sum / total);
    }
  }
}

}  // namespace reference
}  // namespace topiary
