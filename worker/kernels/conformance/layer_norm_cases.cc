#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/kernels/conformance/conformance_case.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_backend.h"

namespace topiary {
namespace {

void AddForward(const std::string& name, const Shape& src, bool bias, ConformanceCases* cases) {
  const Shape vector({src[1]}), rows({src[0]});
  CaseBuilder builder(absl::StrCat("LayerNormForward", name, bias ? "Bias" : ""),
                      OpKind::kLayerNormForward, LayerNormParameters{1e-3f, bias});
  builder.Read(src).Read(vector);
  if (bias) builder.Read(vector);
  cases->push_back(builder.Write(src).Write(rows).Write(rows).Build());
}

// Replaces mean and inverse standard deviation by those of src: the backward pass counts on it.
void MakeConsistent(const LayerNormParameters& p, std::vector<Tensor>* tensors) {
  const LayerNormBackwardOrder at(p);
  Tensor& src = (*tensors)[at.src];
  Tensor dst(DType::kFloat32, src.shape());
  const TensorDescription matrix{src.shape(), DType::kFloat32, Layout::Plain()};
  const TensorDescription vector{Shape({src.shape()[1]}), DType::kFloat32, Layout::Plain()};
  const TensorDescription rows{Shape({src.shape()[0]}), DType::kFloat32, Layout::Plain()};
  ReferenceBackend reference;
  auto kernel = reference.Plan({OpKind::kLayerNormForward,
                                LayerNormParameters{p.epsilon, false},
                                {matrix, vector, matrix, rows, rows}});
  CHECK_OK(kernel.status());
  void* const buffers[] = {src.raw_data(), (*tensors)[at.scale].raw_data(), dst.raw_data(),
                           (*tensors)[at.saved_mean].raw_data(),
                           (*tensors)[at.saved_inverse_std].raw_data()};
  (*kernel)->Bind(buffers, nullptr);
  (*kernel)->Run();
}

void AddBackward(const std::string& name, const Shape& src, bool bias, ConformanceCases* cases) {
  const Shape vector({src[1]}), rows({src[0]});
  const LayerNormParameters p{1e-3f, bias};
  CaseBuilder builder(absl::StrCat("LayerNormBackward", name, bias ? "Bias" : ""),
                      OpKind::kLayerNormBackward, p);
  builder.Read(src).Read(src).Read(vector).Read(rows).Read(rows, Fill::kPositive);
  builder.Write(src).Write(vector);
  if (bias) builder.Write(vector);
  builder.Prepare([p](std::vector<Tensor>* tensors) { MakeConsistent(p, tensors); });
  cases->push_back(builder.Build());
}

}  // namespace

void AddLayerNormCases(ConformanceCases* cases) {
  const std::pair<const char*, Shape> problems[] = {{"Sequence", {96, 384}}, {"Ragged", {7, 45}},
                                                    {"OneRow", {1, 130}},    {"TwoColumns", {9, 2}},
                                                    {"ManyRows", {700, 33}}, {"NoRows", {0, 8}}};
  for (const auto& [name, shape] : problems) {
    for (const bool bias : {false, true}) {
      AddForward(name, shape, bias, cases);
      AddBackward(name, shape, bias, cases);
    }
  }
}

}  // namespace topiary
