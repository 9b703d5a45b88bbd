#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

struct Problem {
  const char* name;
  Shape src;
  Shape dst;
  std::vector<int64_t> kernel;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads_begin;
  std::vector<int64_t> pads_end;
  std::vector<int64_t> counted_pads_end;
};

PoolParameters ParametersOf(const Problem& problem, PoolKind kind, bool include_pad) {
  PoolParameters p;
  p.kind = kind;
  p.kernel = problem.kernel;
  p.strides = problem.strides;
  p.dilations = problem.dilations;
  p.pads_begin = problem.pads_begin;
  p.pads_end = problem.pads_end;
  p.counted_pads_end = problem.counted_pads_end;
  p.count_include_pad = include_pad;
  return p;
}

void AddAverage(const Problem& problem, bool include_pad, ConformanceCases* cases) {
  const PoolParameters p = ParametersOf(problem, PoolKind::kAverage, include_pad);
  const char* suffix = include_pad ? "IncludePad" : "";
  cases->push_back(
      CaseBuilder(absl::StrCat("AveragePoolForward", problem.name, suffix), OpKind::kPoolForward, p)
          .ReadFree(problem.src)
          .WriteFree(problem.dst)
          .Build());
  cases->push_back(CaseBuilder(absl::StrCat("AveragePoolBackward", problem.name, suffix),
                               OpKind::kPoolBackward, p)
                       .ReadFree(problem.dst)
                       .WriteFree(problem.src)
                       .Build());
}

void AddMax(const Problem& problem, ConformanceCases* cases) {
  PoolParameters p = ParametersOf(problem, PoolKind::kMax, false);
  cases->push_back(
      CaseBuilder(absl::StrCat("MaxPoolForward", problem.name), OpKind::kPoolForward, p)
          .ReadFree(problem.src)
          .WriteFree(problem.dst)
          .Build());
  p.training = true;
  const OpDescription forward =
      CaseBuilder(absl::StrCat("MaxPoolForwardTraining", problem.name), OpKind::kPoolForward, p)
          .ReadFree(problem.src)
          .WriteFree(problem.dst)
          .Add(Shape({0}), DType::kUint8, Fill::kGarbage, false)
          .Build()
          .op;
  cases->push_back(
      CaseBuilder(absl::StrCat("MaxPoolBackward", problem.name), OpKind::kPoolBackward, p)
          .ReadFree(problem.dst)
          .Add(Shape({0}), DType::kUint8, Fill::kGarbage, false)
          .WriteFree(problem.src)
          .Forward(forward)
          .Build());
}

}  // namespace

void AddPoolCases(ConformanceCases* cases) {
  const Problem problems[] = {
      {"TwoByTwo", {2, 16, 8, 8}, {2, 16, 4, 4}, {2, 2}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, {0, 0}},
      {"Overlapping", {2, 8, 9, 9}, {2, 8, 5, 5}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {"Ragged", {1, 5, 7, 6}, {1, 5, 3, 5}, {3, 2}, {2, 1}, {1, 1}, {0, 0}, {0, 0}, {0, 0}},
      {"Signal", {3, 6, 15}, {3, 6, 8}, {3}, {2}, {1}, {1}, {1}, {1}},
      {"Asymmetric", {2, 4, 6, 6}, {2, 4, 6, 7}, {2, 3}, {1, 1}, {1, 1}, {0, 1}, {1, 2}, {1, 2}},
      {"CeilMode", {2, 4, 6, 6}, {2, 4, 3, 3}, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
      {"CeilModePadded",
       {1, 3, 6, 7},
       {1, 3, 4, 4},
       {3, 3},
       {2, 2},
       {1, 1},
       {1, 1},
       {2, 1},
       {1, 1}},
  };
  const Problem global = {"Global", {3, 20, 5, 7}, {3, 20, 1, 1}, {5, 7}, {1, 1},
                          {1, 1},   {0, 0},        {0, 0},        {0, 0}};
  const Problem dilated = {"Dilated", {2, 4, 9, 9}, {2, 4, 5, 5}, {3, 3}, {1, 1},
                           {2, 2},    {0, 0},       {0, 0},       {0, 0}};
  for (const Problem& problem : problems) {
    AddMax(problem, cases);
    AddAverage(problem, false, cases);
    AddAverage(problem, true, cases);
  }
  AddMax(global, cases);
  AddAverage(global, false, cases);
  AddMax(dilated, cases);
}

}  // namespace topiary
