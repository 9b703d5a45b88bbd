// What a backend can be asked to compute: the kinds of operation, the parameters
// and operands of each. The table below is the contract; the reference
// backend (worker/kernels/reference) is its executable form.
//
// Vocabulary: src is read, dst is written, d_x is the gradient of the loss with
// respect to x and has x's shape. n: batch, c: channels, m: output channels, g: groups.
// "[x]" is an operand present only if the parameter named beside it asks for it.
// All operands are float32 unless said otherwise.
//
//  kind                      operands, in order                       parameters
//  ------------------------  ---------------------------------------  -------------------------
//  kReorder                  src, dst                                 none
//      Same shape and dtype, any two layouts. Plain to plain is a copy.
//  kMatMul                   a, b, [bias], [residual: has_residual],  MatMulParameters
//                            dst
//      dst[.., i, j] = relu?(alpha * sum_k op(a)[.., i, k] * op(b)[.., k, j] + bias[j] +
//      residual[.., i, j]), or gelu() of that; residual has dst's shape.
//      Rank >= 2, equal ranks; leading extents are equal or 1 in a or b (broadcast).
//      bias is [columns of dst]. With accumulate: dst += (no bias, relu, gelu or residual).
//      With patterns, of rank 2: of op(b) only the kept blocks count, and what lies elsewhere is
//      not read; of dst only the kept blocks are written (no bias, residual, relu, gelu, accumulate
//      or pattern of b; transpose_a and not transpose_b: it is the gradient of a weight).
//  kConvolutionForward       src, weights, [bias], dst                ConvolutionParameters
//      src [n, c, spatial], weights [m, c / g, kernel], bias [m], dst [n, m, spatial]; 1 or 2
//      spatial axes. Cross-correlation, as in ONNX. fused_relu applies to dst.
//      With a pattern, of the weights only the kept blocks of the matrices [kernel * c / g, m / g]
//      of the groups count, whose rows are numbered by kernel element, then channel; what lies
//      elsewhere is not read.
//  kConvolutionBackwardData  d_dst, weights, d_src                    ConvolutionParameters
//      accumulate: d_src +=. A pattern counts as above.
//  kConvolutionBackwardWeights  src, d_dst, d_weights, [d_bias]       ConvolutionParameters
//      has_bias: d_bias is present. With a pattern only the kept blocks of d_weights are written.
//  kBatchNormForwardTraining src, scale, bias, running_mean,          BatchNormParameters
//                            running_variance, [residual: fused_add], dst, saved_mean,
//                            saved_inverse_std
//      src [n, c, ...] of rank >= 2; the other operands but residual and dst are [c], plain.
//      dst = relu?((src - mean) / sqrt(variance + epsilon) * scale + bias + residual?),
//      mean and (biased) variance over all axes but c.
//      running = momentum * running + (1 - momentum) * of_batch in place, where the variance
//      of the batch is the unbiased one (divided by count - 1, or by 1 where count is 1), as
//      PyTorch does and unlike ONNX's text, which says biased. saved_* are for the backward pass.
//      StepScalars::running_momentum, when >= 0, replaces momentum.
//  kBatchNormForwardInference  src, scale, bias, mean, variance,      BatchNormParameters
//                            [residual: fused_add], dst
//  kBatchNormForwardAgain    src, scale, bias, saved_mean,            BatchNormParameters
//                            saved_inverse_std, dst
//      dst of kBatchNormForwardTraining without a residual, bit for bit, from what it saved.
//  kBatchNormBackward        src, [dst: fused_relu], d_dst, [d_dst_2: sum_d_dst],
//  BatchNormParameters
//                            scale, saved_mean, saved_inverse_std, d_src, d_scale, d_bias,
//                            [d_residual: fused_add]
//      The gradient that arrives is d_dst (+ d_dst_2); with fused_relu it counts only
//      where dst > 0. d_residual is that gradient.
//  kPoolForward              src, dst, [workspace: training and max]  PoolParameters
//      workspace (uint8, one axis) is whatever the backend needs to find the maximum again:
//      describe it with shape [0] and layout any; operands() has the settled description.
//      A maximum that occurs several times: the first in row-major order of the window.
//      Padding never wins a maximum.
//  kPoolBackward             d_dst, [workspace: max], d_src           PoolParameters
//      workspace as settled by the forward kernel.
//  kLayerNormForward         src, scale, [bias: has_bias], dst,       LayerNormParameters
//                            saved_mean, saved_inverse_std
//      src [rows, n], scale and bias [n], saved_* [rows], all plain: dst = (src - mean) /
//      sqrt(variance + epsilon) * scale + bias with mean and (biased) variance of each row.
//  kLayerNormBackward        src, d_dst, scale, saved_mean,           LayerNormParameters
//                            saved_inverse_std, d_src, d_scale, [d_bias: has_bias]
//  kUnaryForward             src, dst                                 UnaryParameters
//  kUnaryBackward            dst, d_dst, d_src                        UnaryParameters
//      From the output: relu: dst > 0; leaky relu: dst > 0 or else alpha (alpha >= 0);
//      sigmoid, tanh; clip: 1 where min < dst < max, else 0; linear: alpha (dst is not read).
//      Where DifferentiatesFromSource(), the first operand is src instead.
//  kBinary                   a, b, dst                                BinaryParameters
//      NumPy's broadcasting; dst has the broadcast shape. fused_relu applies to dst.
//  kReduceSum                src, dst                                 ReduceSumParameters
//      dst has a shape that broadcasts to src's; dst = scale * sums over the stretched axes.
//  kSoftmaxForward           src, dst                                 SoftmaxParameters
//  kSoftmaxBackward          dst, d_dst, d_src                        SoftmaxParameters
//  kAttention                query, key, value, [mask], dst           AttentionParameters
//      query [n, queries, heads, depth], key [n, keys, heads, depth], value [n, keys, heads,
//      width], mask [queries, keys], dst [n, queries, heads, width]: for each head and query i dst
//      = sum_j w_j value_j with w = softmax_j(scale * <query_i, key_j> + mask[i, j]).
//  kAttentionBackward        query, key, value, [mask], d_dst,        AttentionParameters
//                            d_query, d_key, d_value
//      The weights w are computed again. The mask is a constant.
//  kTranspose                src, dst                                 TransposeParameters
//  kConcat                   src_0 .. src_n-1, dst                    ConcatParameters
//  kSplit                    src, dst_0 .. dst_n-1                    ConcatParameters
//      The inverse of kConcat: the gradient of its operands.
//  kGather                   src, indices (int64), dst                none
//      src [outer, n, inner] of float32 or int64, indices [k], dst [outer, k, inner]: the rows that
//      the indices name, of which negative ones count from the end. A row of an index outside
//      [-n, n) is 0.
//  kGatherBackward           d_dst, indices (int64), d_src            none
//      float32. Rows that several indices name are added up, others 0; an index outside adds
//      nothing.
//  kEmbeddingForward         indices (int64), dst                     EmbeddingParameters
//      indices [k], dst [k, width]: kGather of the rows of a table, which are brought up to date
//      first and become the touched rows.
//  kEmbeddingBackward        d_dst, indices (int64)                   EmbeddingParameters
//      Adds to the gradients of the touched rows; indices as the forward kernel had them.
//  kEmbeddingUpdate          none                                     EmbeddingParameters
//      kOptimizerUpdate of kSgd, without decay, of the touched rows, each of which is then up to
//      date with one update more.
//  kDropoutForward           src, dst                                 DropoutParameters
//      dst = src / (1 - ratio) where DropoutKeeps() (dropout_mask.h) says so, else 0.
//  kDropoutBackward          d_dst, d_src                             DropoutParameters
//  kSoftmaxCrossEntropy      logits, labels (int32), loss, [d_logits: has_gradient] LossParameters
//      logits [n, classes], labels [n] in [0, classes), loss [1]: mean over n of
//      -log softmax(logits)[label].
//  kBinaryCrossEntropyWithLogits  logits, targets, loss, [d_logits]   LossParameters
//      Equal shapes; targets in [0, 1]; mean over all elements.
//  kMeanSquaredError         predictions, targets, loss, [d_predictions]   LossParameters
//      Equal shapes; mean over all elements of (prediction - target)^2.
//  kDistillation             logits, teacher_logits, loss, [d_logits]      LossParameters
//      Both [n, classes]. With p = softmax(teacher_logits / temperature) and q = softmax(logits /
//      temperature): temperature^2 times the mean over n of sum_c p_c log(p_c / q_c). One column is
//      the logits of yes and no: a second one is 0.
//  kSumOfSquares             src, dst                                 none
//      dst [1].
//  kScaleBlocks              value, scale, dst                        BlockParameters
//      value and dst equal shapes, scale [blocks]: dst = scale[block of element] * value.
//  kBlockInnerProducts       gradient, value, dst                     BlockParameters
//      dst [blocks]: the sum over the elements of a block of gradient * value.
//  kOptimizerUpdate          value, gradient, slot_0 .. , [block_scale: runs],  OptimizerParameters
//                            [inner_products: inner_products]
//      One axis. Slots: kSgd none, or the momentum buffer if momentum != 0; kAdam and kAdamW
//      first and second moment. Changes value and slots; gradient is only read.
//      Formulas at OptimizerParameters.
//
// Aliasing. Two operands may be the same memory only where listed, and then must be all of
// it: kUnaryForward src = dst; kUnaryBackward d_dst = d_src; kBinary a or b = dst where the
// shape and layout are dst's; kSoftmaxForward src = dst; kSoftmaxBackward d_dst = d_src;
// kDropout* src = dst; kBatchNormForwardInference src or residual = dst; kBatchNormForwardTraining
// residual = dst; kBatchNormBackward one of d_src and d_residual = one of d_dst and d_dst_2;
// kLayerNormBackward d_dst = d_src; kScaleBlocks value = dst; losses logits = d_logits.
// InPlaceOperands() answers from this list.
//
// Layouts. The scalars, [c] vectors, labels, losses, block and optimizer operands are always
// plain; so are kLayerNorm*, kSoftmax*, kAttention*, kTranspose, kGather*, kEmbedding*, kDropout*
// and losses. A backend may refuse other layouts, fusions and accumulate with UNIMPLEMENTED; it
// must accept every kind with plain layouts and no fusion.
#ifndef TOPIARY_WORKER_KERNELS_OP_DESCRIPTION_H_
#define TOPIARY_WORKER_KERNELS_OP_DESCRIPTION_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/kernels/block_sparse_pattern.h"
#include "worker/kernels/embedding_rows.h"
#include "worker/kernels/layout.h"

namespace topiary {

enum class OpKind {
  kReorder,
  kMatMul,
  kConvolutionForward,
  kConvolutionBackwardData,
  kConvolutionBackwardWeights,
  kBatchNormForwardTraining,
  kBatchNormForwardInference,
  kBatchNormForwardAgain,
  kBatchNormBackward,
  kLayerNormForward,
  kLayerNormBackward,
  kPoolForward,
  kPoolBackward,
  kUnaryForward,
  kUnaryBackward,
  kBinary,
  kReduceSum,
  kSoftmaxForward,
  kSoftmaxBackward,
  kAttention,
  kAttentionBackward,
  kTranspose,
  kConcat,
  kSplit,
  kGather,
  kGatherBackward,
  kEmbeddingForward,
  kEmbeddingBackward,
  kEmbeddingUpdate,
  kDropoutForward,
  kDropoutBackward,
  kSoftmaxCrossEntropy,
  kBinaryCrossEntropyWithLogits,
  kMeanSquaredError,
  kDistillation,
  kSumOfSquares,
  kScaleBlocks,
  kBlockInnerProducts,
  kOptimizerUpdate,
};

// "ConvolutionForward", for messages and plan listings.
absl::string_view OpKindName(OpKind kind);

// Scalars of a program that change from step to step. Kernels keep the pointer
// and read it in Run().
struct StepScalars {
  // Number of the training step: the third key of the dropout mask.
  uint64_t step = 0;
  // Momentum of BatchNorm's running statistics in place of the planned one, in
  // [0, 1]; negative: the planned one.
  float running_momentum = -1;
};

// Scalars of an optimizer step, read by kOptimizerUpdate in Run().
struct UpdateScalars {
  float learning_rate = 0;
  float gradient_scale = 1;     // Multiplies every gradient first (clipping).
  float bias_correction_1 = 1;  // Adam: 1 - beta1^t, t counted from 1.
  float bias_correction_2 = 1;  // Adam: 1 - beta2^t.
};

struct MatMulParameters {
  bool transpose_a = false;  // op(a) swaps the last two axes.
  bool transpose_b = false;
  float alpha = 1;
  bool has_bias = false;
  bool has_residual = false;
  bool fused_relu = false;
  bool fused_gelu = false;  // Not with fused_relu.
  bool accumulate = false;
  std::shared_ptr<const BlockSparsePattern> b_pattern;    // Of op(b). May be null.
  std::shared_ptr<const BlockSparsePattern> dst_pattern;  // May be null.
};

// One entry per spatial axis in each vector.
struct ConvolutionParameters {
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads_begin;
  std::vector<int64_t> pads_end;
  int64_t groups = 1;
  bool has_bias = false;
  bool fused_relu = false;
  bool accumulate = false;
  std::shared_ptr<const BlockSparsePattern> pattern = nullptr;  // Of the weights.
};

struct BatchNormParameters {
  float epsilon = 1e-5f;
  float momentum = 0.9f;  // ONNX's: the weight of the old value (PyTorch's is one minus it).
  bool fused_relu = false;
  bool fused_add = false;
  bool sum_d_dst = false;
  const StepScalars* scalars = nullptr;  // kBatchNormForwardTraining; outlives the kernel.
};

struct LayerNormParameters {
  float epsilon = 1e-5f;
  bool has_bias = false;
};

enum class PoolKind { kMax, kAverage };

struct PoolParameters {
  PoolKind kind = PoolKind::kMax;
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads_begin;
  std::vector<int64_t> pads_end;  // Windows never leave the padded src.
  // Average: the divisor counts padding too, but only up to counted_pads_end (what lies
  // beyond was added by ceil_mode). Otherwise it counts elements of src only.
  bool count_include_pad = false;
  std::vector<int64_t> counted_pads_end;
  bool training = false;  // Max: kPoolForward writes the workspace.
};

// relu: max(x, 0). leaky: x > 0 ? x : alpha x. clip: min(max(x, alpha), beta).
// linear: alpha x + beta. erf: the error function. gelu: x (1 + erf(x / sqrt 2)) / 2.
enum class UnaryFunction { kRelu, kLeakyRelu, kSigmoid, kTanh, kClip, kLinear, kErf, kGelu };

// Whether the derivative cannot be told from the result.
inline bool DifferentiatesFromSource(UnaryFunction function) {
  return function == UnaryFunction::kErf || function == UnaryFunction::kGelu;
}

struct UnaryParameters {
  UnaryFunction function = UnaryFunction::kRelu;
  float alpha = 0;  // Slope of leaky relu; lower bound of clip; factor of linear.
  float beta = 0;   // Upper bound of clip; offset of linear.
};

enum class BinaryFunction { kAdd, kSub, kMul, kDiv };

struct BinaryParameters {
  BinaryFunction function = BinaryFunction::kAdd;
  bool fused_relu = false;
};

struct ReduceSumParameters {
  float scale = 1;
};

struct SoftmaxParameters {
  int axis = 0;  // In [0, rank).
  bool log = false;
};

struct AttentionParameters {
  float scale = 1;
  bool has_mask = false;
};

struct TransposeParameters {
  std::vector<int> permutation;  // dst axis i is src axis permutation[i].
};

struct ConcatParameters {
  int axis = 0;  // In [0, rank).
};

struct DropoutParameters {
  float ratio = 0;                       // In [0, 1).
  uint64_t seed = 0;                     // Of the job.
  uint64_t node = 0;                     // Tells the Dropout nodes of a graph apart.
  const StepScalars* scalars = nullptr;  // Outlives the kernel.
};

struct LossParameters {
  bool has_gradient = false;
  float weight = 1;       // Of the loss and its gradient.
  float temperature = 1;  // kDistillation.
};

// `length` elements of a plain tensor at offset, offset + stride, ..., all of them in block
// `block`; or each in a block of its own, block, block + block_step, ...
struct BlockRun {
  int64_t offset = 0;
  int32_t length = 0;
  int32_t stride = 1;
  int32_t block = 0;
  int32_t block_step = 0;

  int64_t At(int64_t i) const { return offset + i * stride; }
  int64_t BlockOf(int64_t i) const { return block + i * block_step; }
};

// Which block each element of a tensor belongs to. The runs are sorted by
// offset and cover every element exactly once; every block in [0, block_count)
// occurs. Shared by all kernels that need it, never changed.
struct BlockRuns {
  std::vector<BlockRun> runs;
  int64_t block_count = 0;
};

struct BlockParameters {
  std::shared_ptr<const BlockRuns> runs;
};

enum class OptimizerKind { kSgd, kAdam, kAdamW };

// With w: value, g = gradient_scale * gradient * (block_scale[block] where there are runs),
// lr = learning_rate * learning_rate_multiplier, as PyTorch computes them:
//   kSgd:   g += weight_decay * w;  m = momentum * m + g;
//           w -= lr * (nesterov ? g + momentum * m : m)      (momentum 0: w -= lr * g)
//   kAdam:  g += weight_decay * w;
//   kAdamW: w -= lr * weight_decay * w;   then both
//           m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2;
//           w -= lr * (m / bias_correction_1) / (sqrt(v / bias_correction_2) + epsilon)
// Elements of a block whose scale is 0 are masked: value and slots stay as they are.
// With inner_products, which needs runs, the operand of that name gets, per block, the sum of
// gradient * w before the update, of masked blocks too: what kBlockInnerProducts computes, without
// a pass of its own.
struct OptimizerParameters {
  OptimizerKind kind = OptimizerKind::kSgd;
  float momentum = 0;
  bool nesterov = false;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
  float learning_rate_multiplier = 1;
  std::shared_ptr<const BlockRuns> runs;  // May be null.
  bool inner_products = false;
  const UpdateScalars* scalars = nullptr;  // Outlives the kernel.
};

struct EmbeddingParameters {
  EmbeddingRows* table = nullptr;  // Outlives the kernel.
  OptimizerParameters update;      // kEmbeddingUpdate.
};

// Slots that `parameters` need: 0, 1 or 2.
int OptimizerSlotCount(const OptimizerParameters& parameters);

using OpParameters =
    std::variant<std::monostate, MatMulParameters, ConvolutionParameters, BatchNormParameters,
                 LayerNormParameters, PoolParameters, UnaryParameters, BinaryParameters,
                 ReduceSumParameters, SoftmaxParameters, AttentionParameters, TransposeParameters,
                 ConcatParameters, DropoutParameters, LossParameters, BlockParameters,
                 OptimizerParameters, EmbeddingParameters>;

struct OpDescription {
  OpKind kind = OpKind::kReorder;
  OpParameters parameters;
  std::vector<TensorDescription> operands;
};

enum class OperandAccess { kRead, kWrite, kReadWrite };

// What a kernel of `op` does with operand `index`. kReadWrite are running
// statistics, a dst with accumulate or a pattern, and the values and slots of kOptimizerUpdate.
OperandAccess AccessOf(const OpDescription& op, int index);

// A read operand whose memory the written operand may take over.
struct InPlacePair {
  int read;
  int written;
};

// The pairs that aliasing allows for `op`, best first; at most one pair per
// written operand, and per read operand, may be used in one binding. Layouts
// must be settled: a pair is listed only where both descriptions are equal.
std::vector<InPlacePair> InPlaceOperands(const OpDescription& op);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_OP_DESCRIPTION_H_
