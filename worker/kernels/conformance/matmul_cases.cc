#include <memory>

#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

struct Problem {
  const char* name;
  Shape a;
  Shape b;
  Shape dst;
  MatMulParameters parameters;
};

MatMulParameters Transposed(bool a, bool b) {
  MatMulParameters p;
  p.transpose_a = a;
  p.transpose_b = b;
  return p;
}

MatMulParameters Scaled(float alpha) {
  MatMulParameters p;
  p.alpha = alpha;
  p.transpose_b = true;
  return p;
}

MatMulParameters WithBias(bool relu) {
  MatMulParameters p = Transposed(false, true);
  p.has_bias = true;
  p.fused_relu = relu;
  return p;
}

MatMulParameters Accumulating() {
  MatMulParameters p = Transposed(true, false);
  p.accumulate = true;
  return p;
}

ConformanceCase CaseOf(const Problem& problem) {
  const MatMulParameters& p = problem.parameters;
  CaseBuilder builder(absl::StrCat("MatMul", problem.name), OpKind::kMatMul, p);
  builder.ReadFree(problem.a).ReadFree(problem.b);
  if (p.has_bias) builder.Read(Shape({problem.dst[problem.dst.rank() - 1]}));
  if (p.has_residual) builder.Read(problem.dst);
  const bool kept = p.accumulate || p.dst_pattern != nullptr;  // What dst holds counts.
  const Fill fill = kept ? Fill::kNormal : Fill::kGarbage;
  builder.Add(problem.dst, DType::kFloat32, fill, true);
  return builder.MayRefuse(p.fused_relu || p.fused_gelu || p.has_residual || p.accumulate).Build();
}

}  // namespace

void AddMatMulCases(ConformanceCases* cases) {
  const Problem problems[] = {
      {"Plain", {32, 48}, {48, 64}, {32, 64}, Transposed(false, false)},
      {"TransposedA", {48, 32}, {48, 64}, {32, 64}, Transposed(true, false)},
      {"TransposedB", {32, 48}, {64, 48}, {32, 64}, Transposed(false, true)},
      {"TransposedBoth", {48, 32}, {64, 48}, {32, 64}, Transposed(true, true)},
      {"Ragged", {7, 13}, {13, 11}, {7, 11}, Transposed(false, false)},
      {"RaggedTransposedA", {13, 7}, {13, 11}, {7, 11}, Transposed(true, false)},
      {"RowsFarApart", {40, 24}, {24, 512}, {40, 512}, Transposed(false, false)},
      {"OneRow", {1, 67}, {10, 67}, {1, 10}, Transposed(false, true)},
      {"OneColumn", {33, 20}, {20, 1}, {33, 1}, Transposed(false, false)},
      {"DepthOne", {9, 1}, {1, 17}, {9, 17}, Transposed(false, false)},
      {"SingleElement", {1, 1}, {1, 1}, {1, 1}, Transposed(false, false)},
      {"DeepSums", {5, 3000}, {3000, 6}, {5, 6}, Transposed(false, false)},
      {"Scaled", {8, 20}, {12, 20}, {8, 12}, Scaled(0.375f)},
      {"ScaledNegative", {8, 20}, {12, 20}, {8, 12}, Scaled(-2.0f)},
      {"Bias", {16, 30}, {10, 30}, {16, 10}, WithBias(false)},
      {"BiasOneRow", {1, 30}, {10, 30}, {1, 10}, WithBias(false)},
      {"BiasRelu", {64, 784}, {67, 784}, {64, 67}, WithBias(true)},
      {"Accumulate", {40, 24}, {40, 36}, {24, 36}, Accumulating()},
      {"Batched", {3, 4, 5}, {3, 5, 6}, {3, 4, 6}, Transposed(false, false)},
      {"BatchedTransposedA", {3, 5, 4}, {3, 5, 6}, {3, 4, 6}, Transposed(true, false)},
      {"BatchedTransposedB", {3, 4, 5}, {3, 6, 5}, {3, 4, 6}, Transposed(false, true)},
      {"BatchBroadcastB", {3, 4, 5}, {1, 5, 6}, {3, 4, 6}, Transposed(false, false)},
      {"BatchBroadcastBoth", {2, 1, 4, 5}, {1, 3, 5, 6}, {2, 3, 4, 6}, Transposed(false, false)},
      {"BatchRankFour", {2, 3, 4, 5}, {2, 3, 5, 6}, {2, 3, 4, 6}, Transposed(false, false)},
  };
  for (const Problem& problem : problems) cases->push_back(CaseOf(problem));
  // Of op(b) [40, 24] in blocks of 16 x 8, which are ragged below.
  MatMulParameters sparse = Transposed(false, false);
  sparse.b_pattern = std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(40, 24, 16, 8, {1, 0, 0, 0, 1, 1, 0, 0, 1}));
  cases->push_back(CaseOf({"SparseB", {33, 40}, {40, 24}, {33, 24}, sparse}));
  const auto first = sparse.b_pattern;
  sparse.transpose_b = true;
  sparse.alpha = 0.5f;
  sparse.has_bias = true;
  cases->push_back(CaseOf({"SparseTransposedB", {33, 40}, {24, 40}, {33, 24}, sparse}));
  sparse.fused_relu = true;
  cases->push_back(CaseOf({"SparseRelu", {5, 40}, {24, 40}, {5, 24}, sparse}));
  for (const bool residual : {false, true}) {
    sparse.has_residual = residual;
    sparse.fused_relu = false;
    sparse.fused_gelu = true;
    const char* gelu = residual ? "SparseResidualGelu" : "SparseGelu";
    cases->push_back(CaseOf({gelu, {333, 40}, {24, 40}, {333, 24}, sparse}));
    sparse.fused_gelu = false;
    const char* plain = residual ? "SparseResidualFewRows" : "SparseFewRows";
    cases->push_back(CaseOf({plain, {5, 40}, {24, 40}, {5, 24}, sparse}));
  }
  sparse.fused_relu = true;
  cases->push_back(CaseOf({"SparseResidualRelu", {333, 40}, {24, 40}, {333, 24}, sparse}));
  sparse.has_bias = false;
  sparse.b_pattern = std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(40, 64, 8, 32, {1, 0, 0, 1, 1, 0, 0, 0, 1, 1}));
  cases->push_back(CaseOf({"SparseWideResidualRelu", {777, 40}, {64, 40}, {777, 64}, sparse}));
  sparse.fused_relu = false;
  cases->push_back(CaseOf({"SparseWideResidualFewRows", {20, 40}, {64, 40}, {20, 64}, sparse}));
  MatMulParameters gradient = Transposed(true, false);
  gradient.alpha = -2;
  gradient.dst_pattern = first;
  cases->push_back(CaseOf({"SparseDst", {33, 40}, {33, 24}, {40, 24}, gradient}));
}

}  // namespace topiary
