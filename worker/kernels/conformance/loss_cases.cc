#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

void AddWithAndWithoutGradient(const CaseBuilder& builder, const std::string& name,
                               const Shape& shape, ConformanceCases* cases, LossParameters p = {}) {
  for (const bool gradient : {false, true}) {
    CaseBuilder variant = builder;
    if (gradient) variant.Write(shape);
    ConformanceCase test_case = variant.Build();
    test_case.name = absl::StrCat(name, gradient ? "WithGradient" : "");
    p.has_gradient = gradient;
    test_case.op.parameters = p;
    cases->push_back(std::move(test_case));
  }
}

void AddCrossEntropy(const char* name, int64_t rows, int32_t classes, float factor,
                     ConformanceCases* cases, LossParameters p = {}) {
  const Shape shape({rows, classes});
  CaseBuilder builder("", OpKind::kSoftmaxCrossEntropy, LossParameters());
  builder.Read(shape).Labels(Shape({rows}), classes).Write(Shape({1}));
  builder.Prepare([factor](std::vector<Tensor>* tensors) {
    for (float& logit : (*tensors)[0].span<float>()) logit *= factor;
  });
  AddWithAndWithoutGradient(builder, absl::StrCat("SoftmaxCrossEntropy", name), shape, cases, p);
}

void AddDense(const char* name, OpKind kind, const Shape& shape, float factor,
              ConformanceCases* cases, LossParameters p = {}) {
  CaseBuilder builder("", kind, LossParameters());
  builder.Read(shape).Read(shape, Fill::kUnit).Write(Shape({1}));
  builder.Prepare([factor](std::vector<Tensor>* tensors) {
    for (float& logit : (*tensors)[0].span<float>()) logit *= factor;
  });
  AddWithAndWithoutGradient(builder, absl::StrCat(std::string(OpKindName(kind)), name), shape,
                            cases, p);
}

}  // namespace

void AddLossCases(ConformanceCases* cases) {
  AddCrossEntropy("Typical", 32, 10, 1, cases);
  AddCrossEntropy("OneRow", 1, 7, 1, cases);
  AddCrossEntropy("ManyClasses", 5, 1000, 1, cases);
  AddCrossEntropy("HugeLogits", 16, 10, 1000, cases);
  AddCrossEntropy("Weighted", 16, 10, 1, cases, {false, 0.3F});
  AddDense("Column", OpKind::kBinaryCrossEntropyWithLogits, {64, 1}, 1, cases);
  AddDense("Vector", OpKind::kBinaryCrossEntropyWithLogits, {33}, 1, cases);
  AddDense("HugeLogits", OpKind::kBinaryCrossEntropyWithLogits, {20, 3}, 500, cases);
  AddDense("Weighted", OpKind::kBinaryCrossEntropyWithLogits, {20, 3}, 1, cases, {false, 0.3F});
  AddDense("Matrix", OpKind::kMeanSquaredError, {17, 3}, 1, cases);
  AddDense("Image", OpKind::kMeanSquaredError, {2, 3, 4, 5}, 1, cases);
  AddDense("Weighted", OpKind::kMeanSquaredError, {17, 3}, 1, cases, {false, 0.3F});
  AddDense("Classes", OpKind::kDistillation, {33, 10}, 2, cases, {false, 1, 1});
  AddDense("Warm", OpKind::kDistillation, {17, 5}, 2, cases, {false, 0.7F, 4});
  AddDense("OneColumn", OpKind::kDistillation, {65, 1}, 2, cases, {false, 0.7F, 2});
  AddDense("HugeLogits", OpKind::kDistillation, {20, 3}, 500, cases, {false, 1, 4});
}

}  // namespace topiary
