#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

struct Problem {
  std::string name;
  Shape src;         // [n, c, spatial]
  int64_t channels;  // Of dst.
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads_begin;
  std::vector<int64_t> pads_end;
  int64_t groups = 1;
};

ConvolutionParameters ParametersOf(const Problem& problem) {
  ConvolutionParameters p;
  p.strides = problem.strides;
  p.dilations = problem.dilations;
  p.pads_begin = problem.pads_begin;
  p.pads_end = problem.pads_end;
  p.groups = problem.groups;
  return p;
}

Shape WeightsOf(const Problem& problem) {
  Shape::Dims dims = {problem.channels, problem.src[1] / problem.groups};
  dims.insert(dims.end(), problem.kernel.begin(), problem.kernel.end());
  return Shape(absl::MakeConstSpan(dims));
}

Shape DstOf(const Problem& problem) {
  Shape::Dims dims = {problem.src[0], problem.channels};
  for (size_t i = 0; i < problem.kernel.size(); ++i) {
    const int64_t span = (problem.kernel[i] - 1) * problem.dilations[i] + 1;
    const int64_t padded = problem.src[2 + i] + problem.pads_begin[i] + problem.pads_end[i];
    dims.push_back((padded - span) / problem.strides[i] + 1);
  }
  return Shape(absl::MakeConstSpan(dims));
}

void AddForward(const Problem& problem, bool bias, bool relu, ConformanceCases* cases) {
  ConvolutionParameters p = ParametersOf(problem);
  p.has_bias = bias;
  p.fused_relu = relu;
  CaseBuilder builder(
      absl::StrCat("ConvolutionForward", problem.name, bias ? "Bias" : "", relu ? "Relu" : ""),
      OpKind::kConvolutionForward, p);
  builder.ReadFree(problem.src).ReadFree(WeightsOf(problem));
  if (bias) builder.Read(Shape({problem.channels}));
  cases->push_back(builder.WriteFree(DstOf(problem)).MayRefuse(relu).Build());
}

void AddBackward(const Problem& problem, bool bias, ConformanceCases* cases) {
  ConvolutionParameters p = ParametersOf(problem);
  cases->push_back(CaseBuilder(absl::StrCat("ConvolutionBackwardData", problem.name),
                               OpKind::kConvolutionBackwardData, p)
                       .ReadFree(DstOf(problem))
                       .ReadFree(WeightsOf(problem))
                       .WriteFree(problem.src)
                       .Build());
  p.has_bias = bias;
  CaseBuilder builder(absl::StrCat("ConvolutionBackwardWeights", problem.name, bias ? "Bias" : ""),
                      OpKind::kConvolutionBackwardWeights, p);
  builder.ReadFree(problem.src).ReadFree(DstOf(problem)).WriteFree(WeightsOf(problem));
  if (bias) builder.Write(Shape({problem.channels}));
  cases->push_back(builder.Build());
}

void AddAccumulating(const Problem& problem, ConformanceCases* cases) {
  ConvolutionParameters p = ParametersOf(problem);
  p.accumulate = true;
  cases->push_back(
      CaseBuilder("ConvolutionBackwardDataAccumulate", OpKind::kConvolutionBackwardData, p)
          .ReadFree(DstOf(problem))
          .ReadFree(WeightsOf(problem))
          .ReadFree(problem.src)
          .MayRefuse()
          .Build());
  cases->push_back(
      CaseBuilder("ConvolutionBackwardWeightsAccumulate", OpKind::kConvolutionBackwardWeights, p)
          .ReadFree(problem.src)
          .ReadFree(DstOf(problem))
          .ReadFree(WeightsOf(problem))
          .MayRefuse()
          .Build());
}

// `problem` with every second block of `rows` x `cols` of its weights.
void AddSparse(const Problem& problem, int64_t rows, int64_t cols, ConformanceCases* cases) {
  int64_t depth = problem.src[1] / problem.groups;
  for (const int64_t k : problem.kernel) depth *= k;
  const int64_t width = problem.channels / problem.groups;
  std::vector<uint8_t> kept(((depth - 1) / rows + 1) * ((width - 1) / cols + 1) * problem.groups);
  for (size_t i = 0; i < kept.size(); i += 2) kept[i] = 1;
  ConvolutionParameters p = ParametersOf(problem);
  p.pattern = std::make_shared<const BlockSparsePattern>(
      *BlockSparsePattern::Create(depth, width, rows, cols, kept, problem.groups));
  cases->push_back(CaseBuilder(absl::StrCat("ConvolutionBackwardDataSparse", problem.name),
                               OpKind::kConvolutionBackwardData, p)
                       .ReadFree(DstOf(problem))
                       .ReadFree(WeightsOf(problem))
                       .WriteFree(problem.src)
                       .Build());
  p.has_bias = true;
  cases->push_back(CaseBuilder(absl::StrCat("ConvolutionBackwardWeightsSparse", problem.name),
                               OpKind::kConvolutionBackwardWeights, p)
                       .ReadFree(problem.src)
                       .ReadFree(DstOf(problem))
                       .Add(WeightsOf(problem), DType::kFloat32, Fill::kNormal, true)
                       .Write(Shape({problem.channels}))
                       .Build());
  p.fused_relu = true;
  cases->push_back(CaseBuilder(absl::StrCat("ConvolutionForwardSparse", problem.name),
                               OpKind::kConvolutionForward, p)
                       .ReadFree(problem.src)
                       .ReadFree(WeightsOf(problem))
                       .Read(Shape({problem.channels}))
                       .WriteFree(DstOf(problem))
                       .MayRefuse(true)
                       .Build());
}

// A legal problem drawn at random: 1 or 2 axes, groups, asymmetric padding, ragged channels.
Problem RandomProblem(int index) {
  Random random(7, kStreamTest, static_cast<uint64_t>(index));
  const auto between = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random.Below(high - low + 1));
  };
  Problem problem;
  problem.name = absl::StrCat("Random", index);
  problem.groups = std::array<int64_t, 4>{1, 1, 2, 3}[random.Below(4)];
  problem.channels = problem.groups * between(1, 18);
  Shape::Dims src = {between(1, 3), problem.groups * between(1, 18)};
  const int spatial = index % 3 == 0 ? 1 : 2;
  for (int i = 0; i < spatial; ++i) {
    problem.kernel.push_back(between(1, 4));
    problem.strides.push_back(between(1, 3));
    problem.dilations.push_back(between(1, 2));
    problem.pads_begin.push_back(between(0, problem.kernel.back() - 1));
    problem.pads_end.push_back(between(0, problem.kernel.back() - 1));
    src.push_back(between(7, 12));
  }
  problem.src = Shape(absl::MakeConstSpan(src));
  return problem;
}

}  // namespace

void AddConvolutionCases(ConformanceCases* cases) {
  const Problem problems[] = {
      {"ThreeByThree", {2, 16, 8, 8}, 32, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1},
      {"FirstLayer", {2, 3, 12, 12}, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1},
      {"FirstLayerOfOneChannel", {2, 1, 12, 12}, 32, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1},
      {"Strided", {2, 16, 9, 9}, 16, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, 1},
      {"OneByOne", {2, 32, 6, 6}, 16, {1, 1}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1},
      {"OneByOneStrided", {2, 16, 8, 8}, 32, {1, 1}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, 1},
      {"Dilated", {1, 4, 12, 12}, 6, {3, 3}, {1, 1}, {2, 3}, {2, 3}, {2, 3}, 1},
      {"Grouped", {2, 32, 7, 7}, 32, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 2},
      {"Depthwise", {2, 16, 7, 7}, 16, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 16},
      {"RaggedChannels", {1, 5, 7, 6}, 7, {3, 2}, {1, 1}, {1, 1}, {1, 0}, {1, 1}, 1},
      {"AsymmetricPads", {2, 4, 8, 9}, 8, {4, 3}, {2, 1}, {1, 1}, {0, 2}, {3, 0}, 1},
      {"BatchOne", {1, 8, 5, 5}, 8, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 1},
      {"WholeImage", {3, 8, 4, 4}, 10, {4, 4}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1},
      {"OneAxis", {3, 6, 20}, 10, {5}, {2}, {1}, {2}, {1}, 1},
      {"OneAxisGroupedDilated", {2, 8, 18}, 12, {3}, {1}, {3}, {3}, {3}, 4},
  };
  for (const Problem& problem : problems) {
    AddForward(problem, false, false, cases);
    AddForward(problem, true, true, cases);
    AddBackward(problem, true, cases);
    AddSparse(problem, 8, 4, cases);
  }
  Problem wide = problems[0];
  wide.name += "InWideBlocks";
  AddSparse(wide, 16, 16, cases);
  AddForward(problems[0], true, false, cases);
  AddForward(problems[0], false, true, cases);
  AddAccumulating(problems[0], cases);
  for (int i = 0; i < 18; ++i) {
    const Problem problem = RandomProblem(i);
    AddForward(problem, i % 2 == 0, false, cases);
    AddBackward(problem, i % 2 == 1, cases);
  }
}

}  // namespace topiary
