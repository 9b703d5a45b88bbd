#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

struct Function {
  const char* name;
  UnaryParameters parameters;
};

constexpr Function kFunctions[] = {
    {"Relu", {UnaryFunction::kRelu, 0, 0}},
    {"LeakyRelu", {UnaryFunction::kLeakyRelu, 0.1f, 0}},
    {"Sigmoid", {UnaryFunction::kSigmoid, 0, 0}},
    {"Tanh", {UnaryFunction::kTanh, 0, 0}},
    {"Clip", {UnaryFunction::kClip, -0.5f, 0.75f}},
    {"Linear", {UnaryFunction::kLinear, -1.5f, 0.25f}},
    {"Erf", {UnaryFunction::kErf, 0, 0}},
    {"Gelu", {UnaryFunction::kGelu, 0, 0}},
};

// What the backward pass reads beside the gradient.
float Forward(const UnaryParameters& p, float x) {
  switch (p.function) {
    case UnaryFunction::kRelu:
      return std::max(x, 0.0f);
    case UnaryFunction::kLeakyRelu:
      return x > 0 ? x : p.alpha * x;
    case UnaryFunction::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case UnaryFunction::kTanh:
      return std::tanh(x);
    case UnaryFunction::kClip:
      return std::min(std::max(x, p.alpha), p.beta);
    case UnaryFunction::kLinear:
      return p.alpha * x + p.beta;
    case UnaryFunction::kErf:
    case UnaryFunction::kGelu:
      return x;  // Their derivatives are taken from the source.
  }
  return x;
}

void AddUnary(const Function& function, const char* shape_name, const Shape& shape,
              ConformanceCases* cases) {
  const UnaryParameters p = function.parameters;
  cases->push_back(CaseBuilder(absl::StrCat("Unary", function.name, "Forward", shape_name),
                               OpKind::kUnaryForward, p)
                       .ReadFree(shape)
                       .WriteFree(shape)
                       .Build());
  cases->push_back(CaseBuilder(absl::StrCat("Unary", function.name, "Backward", shape_name),
                               OpKind::kUnaryBackward, p)
                       .ReadFree(shape)
                       .ReadFree(shape)
                       .WriteFree(shape)
                       .Prepare([p](std::vector<Tensor>* tensors) {
                         for (float& y : (*tensors)[0].span<float>()) y = Forward(p, y);
                       })
                       .Build());
}

void AddBinary(const std::string& name, BinaryFunction function, bool relu, const Shape& a,
               const Shape& b, const Shape& dst, ConformanceCases* cases) {
  BinaryParameters p;
  p.function = function;
  p.fused_relu = relu;
  const Fill divisor = function == BinaryFunction::kDiv ? Fill::kPositive : Fill::kNormal;
  cases->push_back(CaseBuilder(absl::StrCat("Binary", name), OpKind::kBinary, p)
                       .ReadFree(a)
                       .ReadFree(b, divisor)
                       .WriteFree(dst)
                       .MayRefuse(relu)
                       .Build());
}

void AddBinaries(ConformanceCases* cases) {
  const std::pair<const char*, BinaryFunction> functions[] = {{"Add", BinaryFunction::kAdd},
                                                              {"Sub", BinaryFunction::kSub},
                                                              {"Mul", BinaryFunction::kMul},
                                                              {"Div", BinaryFunction::kDiv}};
  for (const auto& [name, function] : functions) {
    const auto add = [&, f = function, n = std::string(name)](const char* suffix, const Shape& a,
                                                              const Shape& b, const Shape& dst) {
      AddBinary(absl::StrCat(n, suffix), f, false, a, b, dst, cases);
    };
    add("SameShape", {3, 16, 5, 5}, {3, 16, 5, 5}, {3, 16, 5, 5});
    add("ChannelVector", {2, 6, 4, 4}, {6, 1, 1}, {2, 6, 4, 4});
    add("RowVector", {7, 13}, {13}, {7, 13});
    add("RowVectorFirst", {13}, {7, 13}, {7, 13});
    add("Scalar", {4, 9}, Shape(), {4, 9});
    add("BothStretch", {4, 1, 3}, {1, 5, 1}, {4, 5, 3});
  }
  const Shape image({3, 16, 5, 5});
  AddBinary("AddRelu", BinaryFunction::kAdd, true, image, image, image, cases);
  AddBinary("AddLarge", BinaryFunction::kAdd, false, {70000}, {70000}, {70000}, cases);
}

void AddReductions(ConformanceCases* cases) {
  struct Reduction {
    const char* name;
    Shape src;
    Shape dst;
    float scale;
  };
  const Reduction reductions[] = {
      {"ToVector", {9, 13}, {13}, 1},
      {"ToColumn", {9, 13}, {9, 1}, 1},
      {"ToChannels", {3, 5, 4, 6}, {1, 5, 1, 1}, 1},
      {"ToChannelsShort", {3, 5, 4, 6}, {5, 1, 1}, -1},
      {"ToScalar", {4, 33}, Shape(), 0.5f},
      {"MiddleAxis", {4, 7, 6}, {4, 1, 6}, 1},
      {"OuterAndInner", {4, 7, 6}, {1, 7, 1}, 2},
      {"Nothing", {4, 5}, {4, 5}, 3},
      {"LongColumns", {1000, 10}, {10}, 1},
  };
  for (const Reduction& r : reductions) {
    ReduceSumParameters p;
    p.scale = r.scale;
    cases->push_back(CaseBuilder(absl::StrCat("ReduceSum", r.name), OpKind::kReduceSum, p)
                         .Read(r.src)
                         .Write(r.dst)
                         .Build());
  }
}

void AddDropout(const char* name, const Shape& shape, float ratio, ConformanceCases* cases) {
  auto scalars = std::make_shared<StepScalars>();
  scalars->step = (uint64_t{1} << 33) + 5;
  DropoutParameters p;
  p.ratio = ratio;
  p.seed = 77;
  p.node = 3;
  p.scalars = scalars.get();
  for (OpKind kind : {OpKind::kDropoutForward, OpKind::kDropoutBackward}) {
    cases->push_back(CaseBuilder(absl::StrCat(std::string(OpKindName(kind)), name), kind, p)
                         .Read(shape)
                         .Write(shape)
                         .KeepAlive(scalars)
                         .Build());
  }
}

void AddSoftmax(const char* name, const Shape& shape, int axis, bool log, ConformanceCases* cases) {
  SoftmaxParameters p;
  p.axis = axis;
  p.log = log;
  const std::string prefix = absl::StrCat(log ? "LogSoftmax" : "Softmax", name);
  cases->push_back(CaseBuilder(absl::StrCat(prefix, "Forward"), OpKind::kSoftmaxForward, p)
                       .Read(shape)
                       .Write(shape)
                       .Build());
  // Any dst in (0, 1), or its logarithm, will do: the formula holds element by element.
  cases->push_back(CaseBuilder(absl::StrCat(prefix, "Backward"), OpKind::kSoftmaxBackward, p)
                       .Read(shape, Fill::kUnit)
                       .Read(shape)
                       .Write(shape)
                       .Prepare([shape, axis, log](std::vector<Tensor>* tensors) {
                         const double extent = static_cast<double>(shape[axis]);
                         for (float& y : (*tensors)[0].span<float>()) {
                           const double p_of = (0.1 + y) / (1.1 * extent);
                           y = static_cast<float>(log ? std::log(p_of) : p_of);
                         }
                       })
                       .Build());
}

}  // namespace

void AddElementwiseCases(ConformanceCases* cases) {
  for (const Function& function : kFunctions) {
    AddUnary(function, "Image", {2, 16, 5, 5}, cases);
    AddUnary(function, "Ragged", {3, 7, 11}, cases);
    AddUnary(function, "Long", {40001}, cases);
  }
  AddBinaries(cases);
  AddReductions(cases);
  AddDropout("Matrix", {13, 21}, 0.3f, cases);
  AddDropout("Ragged", {1003}, 0.9f, cases);
  AddDropout("Off", {3, 5}, 0.0f, cases);
  for (const bool log : {false, true}) {
    AddSoftmax("Rows", {9, 10}, 1, log, cases);
    AddSoftmax("Columns", {9, 10}, 0, log, cases);
    AddSoftmax("Channels", {2, 5, 3, 4}, 1, log, cases);
    AddSoftmax("OneClass", {4, 1}, 1, log, cases);
    AddSoftmax("ManyClasses", {3, 1000}, 1, log, cases);
  }
}

}  // namespace topiary
