#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

void AddTranspose(const char* name, const Shape& src, std::vector<int> permutation,
                  ConformanceCases* cases) {
  Shape::Dims dst;
  for (int axis : permutation) dst.push_back(src[axis]);
  TransposeParameters p;
  p.permutation = std::move(permutation);
  cases->push_back(CaseBuilder(absl::StrCat("Transpose", name), OpKind::kTranspose, p)
                       .Read(src)
                       .Write(Shape(absl::MakeConstSpan(dst)))
                       .Build());
}

void AddConcat(const char* name, const std::vector<Shape>& parts, int axis,
               ConformanceCases* cases) {
  int64_t extent = 0;
  for (const Shape& part : parts) extent += part[axis];
  const Shape whole = parts[0].WithDim(axis, extent);
  ConcatParameters p;
  p.axis = axis;
  CaseBuilder concat(absl::StrCat("Concat", name), OpKind::kConcat, p);
  CaseBuilder split(absl::StrCat("Split", name), OpKind::kSplit, p);
  split.ReadFree(whole);
  for (const Shape& part : parts) {
    concat.ReadFree(part);
    split.WriteFree(part);
  }
  cases->push_back(concat.WriteFree(whole).Build());
  cases->push_back(split.Build());
}

void AddReorder(const char* name, const Shape& shape, ConformanceCases* cases) {
  cases->push_back(CaseBuilder(absl::StrCat("Reorder", name), OpKind::kReorder, OpParameters())
                       .Read(shape)
                       .Write(shape)
                       .Build());
}

// Indices of all kinds: repeated, negative, and outside on either side.
void FillIndices(int64_t n, Tensor* indices) {
  for (int64_t i = 0; i < indices->element_count(); ++i) {
    indices->data<int64_t>()[i] = i * 7 % (2 * n + 3) - n - 1;
  }
}

void AddGather(const char* name, const Shape& src, int64_t k, ConformanceCases* cases) {
  const Shape dst({src[0], k, src[2]});
  const auto prepare = [n = src[1]](std::vector<Tensor>* tensors) {
    FillIndices(n, &(*tensors)[1]);
  };
  cases->push_back(CaseBuilder(absl::StrCat("Gather", name), OpKind::kGather, OpParameters())
                       .Read(src)
                       .Add(Shape({k}), DType::kInt64, Fill::kGarbage, false)
                       .Write(dst)
                       .Prepare(prepare)
                       .Build());
  cases->push_back(
      CaseBuilder(absl::StrCat("GatherBackward", name), OpKind::kGatherBackward, OpParameters())
          .Read(dst)
          .Add(Shape({k}), DType::kInt64, Fill::kGarbage, false)
          .Write(src)
          .Prepare(prepare)
          .Build());
}

}  // namespace

void AddDataMovementCases(ConformanceCases* cases) {
  AddTranspose("Matrix", {5, 9}, {1, 0}, cases);
  AddTranspose("Identity", {5, 9}, {0, 1}, cases);
  AddTranspose("ToChannelsLast", {2, 3, 4, 5}, {0, 2, 3, 1}, cases);
  AddTranspose("ToChannelsFirst", {2, 4, 5, 3}, {0, 3, 1, 2}, cases);
  AddTranspose("Reversed", {2, 3, 4, 5}, {3, 2, 1, 0}, cases);
  AddTranspose("RankFive", {2, 3, 2, 3, 4}, {4, 1, 0, 3, 2}, cases);
  AddConcat("Channels", {{2, 16, 4, 4}, {2, 32, 4, 4}}, 1, cases);
  AddConcat("RaggedChannels", {{2, 3, 4, 4}, {2, 5, 4, 4}, {2, 1, 4, 4}}, 1, cases);
  AddConcat("Batch", {{2, 5}, {3, 5}}, 0, cases);
  AddConcat("Columns", {{4, 5}, {4, 1}, {4, 7}}, 1, cases);
  AddConcat("Single", {{4, 5}}, 1, cases);
  AddConcat("InnerAxis", {{3, 2, 6}, {3, 2, 1}}, 2, cases);
  AddGather("Embedding", {1, 500, 16}, 2048, cases);
  AddGather("Column", {30, 7, 1}, 1, cases);
  AddGather("MiddleAxis", {3, 5, 9}, 11, cases);
  AddGather("NoIndices", {3, 5, 9}, 0, cases);
  AddGather("Wide", {2, 3, 40000}, 4, cases);
  AddReorder("PlainCopy", {3, 5, 7}, cases);
  AddReorder("Scalar", Shape(), cases);
}

}  // namespace topiary
