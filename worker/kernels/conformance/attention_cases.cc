#include <limits>

#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

struct Problem {
  const char* name;
  Shape query;  // [batch, queries, heads, depth]
  int64_t keys;
  int64_t width;
};

void Add(const Problem& problem, OpKind kind, bool mask, ConformanceCases* cases) {
  const Shape& q = problem.query;
  const Shape key({q[0], problem.keys, q[2], q[3]});
  const Shape value({q[0], problem.keys, q[2], problem.width});
  const Shape dst({q[0], q[1], q[2], problem.width});
  AttentionParameters p;
  p.scale = 0.4f;
  p.has_mask = mask;
  CaseBuilder builder(absl::StrCat(OpKindName(kind), problem.name, mask ? "Masked" : ""), kind, p);
  builder.Read(q).Read(key).Read(value);
  if (mask) builder.Read(Shape({q[1], problem.keys}));
  if (kind == OpKind::kAttention) {
    builder.Write(dst);
  } else {
    builder.Read(dst).Write(q).Write(key).Write(value);
  }
  if (mask) {
    // Query i sees the keys up to i + 1: with one key alone, gradients of scores are nothing but
    // rounding.
    builder.Prepare([](std::vector<Tensor>* tensors) {
      Tensor& of = (*tensors)[3];
      const int64_t keys = of.shape()[1];
      for (int64_t i = 0; i < of.element_count(); ++i) {
        if (i % keys > i / keys + 1) of.data<float>()[i] = -std::numeric_limits<float>::infinity();
      }
    });
  }
  cases->push_back(builder.Build());
}

}  // namespace

void AddAttentionCases(ConformanceCases* cases) {
  const Problem problems[] = {
      {"OfASequence", {2, 64, 3, 32}, 64, 32}, {"Ragged", {1, 53, 2, 10}, 37, 7},
      {"OneQuery", {3, 1, 2, 16}, 20, 16},     {"OneKey", {2, 5, 1, 4}, 1, 9},
      {"OfManyKeys", {1, 3, 1, 8}, 1000, 24},  {"OfNothing", {0, 4, 2, 8}, 4, 8},
  };
  for (const Problem& problem : problems) {
    for (const OpKind kind : {OpKind::kAttention, OpKind::kAttentionBackward}) {
      for (const bool mask : {false, true}) Add(problem, kind, mask, cases);
    }
  }
}

}  // namespace topiary
