#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/kernels/conformance/conformance_case.h"
#include "worker/kernels/operand_order.h"
#include "worker/kernels/reference/reference_backend.h"

namespace topiary {
namespace {

struct Problem {
  const char* name;
  Shape src;
};

struct Fusion {
  const char* name;
  bool relu;
  bool add;
};

std::string NameOf(const char* kind, const Problem& problem, const Fusion& fusion) {
  return absl::StrCat("BatchNorm", kind, problem.name, fusion.name);
}

BatchNormParameters ParametersOf(const Fusion& fusion) {
  BatchNormParameters p;
  p.epsilon = 1e-3f;
  p.momentum = 0.8f;
  p.fused_relu = fusion.relu;
  p.fused_add = fusion.add;
  return p;
}

void AddTraining(const Problem& problem, const Fusion& fusion, float running_momentum,
                 ConformanceCases* cases) {
  auto scalars = std::make_shared<StepScalars>();
  scalars->running_momentum = running_momentum;
  BatchNormParameters p = ParametersOf(fusion);
  p.scalars = scalars.get();
  const Shape vector({problem.src[1]});
  CaseBuilder builder(NameOf(running_momentum < 0 ? "Training" : "Averaging", problem, fusion),
                      OpKind::kBatchNormForwardTraining, p);
  builder.ReadFree(problem.src).Read(vector).Read(vector);
  builder.Read(vector).Read(vector, Fill::kPositive);
  if (fusion.add) builder.ReadFree(problem.src);
  builder.WriteFree(problem.src).Write(vector).Write(vector);
  cases->push_back(
      builder.MayRefuse(fusion.relu || fusion.add).KeepAlive(std::move(scalars)).Build());
}

void AddInference(const Problem& problem, const Fusion& fusion, ConformanceCases* cases) {
  const Shape vector({problem.src[1]});
  CaseBuilder builder(NameOf("Inference", problem, fusion), OpKind::kBatchNormForwardInference,
                      ParametersOf(fusion));
  builder.ReadFree(problem.src).Read(vector).Read(vector);
  builder.Read(vector).Read(vector, Fill::kPositive);
  if (fusion.add) builder.ReadFree(problem.src);
  builder.WriteFree(problem.src);
  cases->push_back(builder.MayRefuse(fusion.relu || fusion.add).Build());
}

void AddAgain(const Problem& problem, const Fusion& fusion, ConformanceCases* cases) {
  const Shape vector({problem.src[1]});
  CaseBuilder builder(NameOf("Again", problem, fusion), OpKind::kBatchNormForwardAgain,
                      ParametersOf(fusion));
  builder.ReadFree(problem.src).Read(vector).Read(vector);
  builder.Read(vector).Read(vector, Fill::kPositive).WriteFree(problem.src);
  cases->push_back(builder.MayRefuse(fusion.relu).Build());
}

// Replaces mean, inverse standard deviation and dst by what a forward pass over src gives: the
// backward pass may count on it.
void MakeConsistent(const BatchNormParameters& parameters, std::vector<Tensor>* tensors) {
  const BatchNormBackwardOrder order(parameters);
  BatchNormParameters forward = parameters;
  forward.fused_add = false;
  forward.fused_relu = false;
  Tensor& src = (*tensors)[order.src];
  const Shape vector({src.shape()[1]});
  Tensor bias(DType::kFloat32, vector), running(DType::kFloat32, vector),
      dst(DType::kFloat32, src.shape());
  const TensorDescription image{src.shape(), DType::kFloat32, Layout::Plain()};
  const TensorDescription channel{vector, DType::kFloat32, Layout::Plain()};
  ReferenceBackend reference;
  auto kernel =
      reference.Plan({OpKind::kBatchNormForwardTraining,
                      forward,
                      {image, channel, channel, channel, channel, image, channel, channel}});
  CHECK_OK(kernel.status());
  void* const buffers[] = {src.raw_data(),
                           (*tensors)[order.scale].raw_data(),
                           bias.raw_data(),
                           running.raw_data(),
                           running.raw_data(),
                           dst.raw_data(),
                           (*tensors)[order.saved_mean].raw_data(),
                           (*tensors)[order.saved_inverse_std].raw_data()};
  (*kernel)->Bind(buffers, nullptr);
  (*kernel)->Run();
  if (order.dst < 0) return;
  for (int64_t i = 0; i < dst.element_count(); ++i) {
    (*tensors)[order.dst].data<float>()[i] = std::max(0.0f, dst.data<float>()[i]);
  }
}

void AddBackward(const Problem& problem, const Fusion& fusion, bool sum, ConformanceCases* cases) {
  BatchNormParameters p = ParametersOf(fusion);
  p.sum_d_dst = sum;
  const Shape vector({problem.src[1]});
  CaseBuilder builder(NameOf(sum ? "BackwardSum" : "Backward", problem, fusion),
                      OpKind::kBatchNormBackward, p);
  builder.ReadFree(problem.src);
  if (fusion.relu) builder.ReadFree(problem.src);
  builder.ReadFree(problem.src);
  if (sum) builder.ReadFree(problem.src);
  builder.Read(vector).Read(vector).Read(vector, Fill::kPositive);
  builder.WriteFree(problem.src).Write(vector).Write(vector);
  if (fusion.add) builder.WriteFree(problem.src);
  builder.Prepare([p](std::vector<Tensor>* tensors) { MakeConsistent(p, tensors); });
  cases->push_back(builder.MayRefuse(fusion.relu || fusion.add || sum).Build());
}

}  // namespace

void AddBatchNormCases(ConformanceCases* cases) {
  const Problem problems[] = {
      {"Image", {4, 16, 6, 6}},     {"RaggedChannels", {3, 5, 4, 7}},
      {"BatchOne", {1, 8, 5, 5}},   {"Signal", {4, 6, 9}},
      {"Vectors", {12, 20}},        {"WideImage", {2, 64, 8, 8}},
      {"OddImage", {3, 24, 1, 11}},
  };
  const Fusion fusions[] = {
      {"", false, false}, {"Relu", true, false}, {"Add", false, true}, {"AddRelu", true, true}};
  for (const Problem& problem : problems) {
    for (const Fusion& fusion : fusions) {
      AddTraining(problem, fusion, -1, cases);
      AddInference(problem, fusion, cases);
      AddBackward(problem, fusion, false, cases);
      if (!fusion.add) AddAgain(problem, fusion, cases);
    }
  }
  AddTraining(problems[0], fusions[0], 0.0f, cases);
  AddTraining(problems[1], fusions[0], 0.75f, cases);
  AddTraining({"SingleValuePerChannel", {1, 3, 1, 1}}, fusions[0], -1, cases);
  for (const Fusion& fusion : fusions) AddBackward(problems[0], fusion, true, cases);
}

}  // namespace topiary
