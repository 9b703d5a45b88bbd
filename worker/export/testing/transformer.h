// Transformers as exporters write them, for tests of shrinking. Tests only.
#ifndef TOPIARY_WORKER_EXPORT_TESTING_TRANSFORMER_H_
#define TOPIARY_WORKER_EXPORT_TESTING_TRANSFORMER_H_

#include <cstdint>
#include <string>

#include "worker/model/graph.h"

namespace topiary {

// How the heads of attention are written; all of them compute the same kind of thing.
struct TransformerForm {
  int blocks = 2;
  int64_t places = 5;
  int64_t width = 12;  // Of the residual sum.
  int64_t heads = 3;
  int64_t depth = 4;  // Of a head; heads * depth need not be the width.
  int64_t hidden = 10;
  // [in][out], [out][in] behind a Transpose as torch.nn.Linear on stacked rows is exported, or
  // [out][in] in a Gemm on rows that are not stacked.
  enum class Linear { kMatMul, kTransposed, kGemm } linear = Linear::kMatMul;
  // Operands of Reshape: numbers with 0 and -1, all numbers but the batch, or computed from
  // extents as PyTorch's older exporter writes it.
  enum class Extents { kCopied, kWritten, kComputed } extents = Extents::kCopied;
  // Extents are read off the result of a projection, not off what the projection reads.
  bool extents_of_projection = false;
  enum class Scale { kScores, kQueryAndKey, kNone } scale = Scale::kScores;
  enum class Mask { kNone, kMatrix, kForAllHeads, kPerHead, kPerHeadComputed } mask = Mask::kNone;
  bool fused = false;        // Queries, keys and values come from one projection.
  int64_t queries = 1;       // How many queries share a key and value head.
  bool shared_keys = false;  // All heads have one key and value head.
  bool output_bias = true;
};

// Ids of a table of 11, then blocks of attention and of two linear layers around Gelu, each with a
// residual sum and LayerNormalization, then a classifier of the first place. Weights are named
// "b0.q", "b0.k", "b0.v" ("b0.qkv"), "b0.o", "b0.up", "b0.down", and ".w" or ".b".
Graph Transformer(const TransformerForm& form);

// The axes of the weight of a linear layer.
int InAxis(const TransformerForm& form);
int OutAxis(const TransformerForm& form);

// Nothing reads head `head` of block `block` any more.
void ClearReader(Graph* graph, const TransformerForm& form, int block, int64_t head);
// The values of the head are their bias.
void ClearValues(Graph* graph, const TransformerForm& form, int block, int64_t head);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_TESTING_TRANSFORMER_H_
