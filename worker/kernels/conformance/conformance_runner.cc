#include "worker/kernels/conformance/conformance_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/kernels/reference/reference_backend.h"

namespace topiary {
namespace {

constexpr size_t kGuardBytes = 64;
constexpr uint8_t kGuard = 0xA5;
constexpr uint64_t kSeed = 20240607;

void FillOperand(Fill fill, int32_t classes, uint64_t index, Tensor* tensor) {
  Random random(kSeed, kStreamTest, index);
  if (fill == Fill::kGarbage) {
    std::memset(tensor->raw_data(), 0xff, tensor->byte_size());
    return;
  }
  for (int64_t i = 0; i < tensor->element_count(); ++i) {
    switch (fill) {
      case Fill::kNormal:
        tensor->data<float>()[i] = random.Normal();
        break;
      case Fill::kPositive:
        tensor->data<float>()[i] = static_cast<float>(0.5 + random.Uniform());
        break;
      case Fill::kUnit:
        tensor->data<float>()[i] = static_cast<float>(random.Uniform());
        break;
      case Fill::kClasses:
        tensor->data<int32_t>()[i] = static_cast<int32_t>(random.Below(classes));
        break;
      case Fill::kGarbage:
        break;
    }
  }
}

std::vector<Tensor> FilledOperands(const ConformanceCase& test_case) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < test_case.op.operands.size(); ++i) {
    const TensorDescription& operand = test_case.op.operands[i];
    tensors.emplace_back(operand.dtype, operand.shape);
    FillOperand(test_case.fills[i], test_case.classes, i, &tensors.back());
  }
  if (test_case.prepare) test_case.prepare(&tensors);
  return tensors;
}

bool IsFreeImage(const ConformanceCase& test_case, size_t i) {
  const int rank = test_case.op.operands[i].shape.rank();
  return test_case.free_layout[i] && (rank == 3 || rank == 4);
}

// The layout that a convolution prefers for a dst of `shape`.
absl::StatusOr<Layout> LayoutOfConvolution(Backend* backend, const Shape& shape) {
  const int spatial = shape.rank() - 2;
  Shape weights({shape[1], shape[1]});
  Shape::Dims dims = weights.dims();
  for (int i = 0; i < spatial; ++i) dims.push_back(1);
  ConvolutionParameters p;
  p.strides.assign(spatial, 1);
  p.dilations.assign(spatial, 1);
  p.pads_begin.assign(spatial, 0);
  p.pads_end.assign(spatial, 0);
  const TensorDescription image{shape, DType::kFloat32, Layout::Any()};
  const TensorDescription kernel{Shape(absl::MakeConstSpan(dims)), DType::kFloat32, Layout::Any()};
  ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> planned,
                   backend->Plan({OpKind::kConvolutionForward, p, {image, kernel, image}}));
  return planned->operands()[2].layout;
}

absl::StatusOr<OpDescription> WithLayouts(Backend* backend, const ConformanceCase& test_case,
                                          LayoutChoice choice) {
  OpDescription op = test_case.op;
  for (size_t i = 0; i < op.operands.size(); ++i) {
    if (choice == LayoutChoice::kAny && test_case.free_layout[i]) {
      op.operands[i].layout = Layout::Any();
    } else if (choice == LayoutChoice::kOfConvolution && IsFreeImage(test_case, i)) {
      ASSIGN_OR_RETURN(op.operands[i].layout, LayoutOfConvolution(backend, op.operands[i].shape));
    }
  }
  return op;
}

// Memory of one operand with a guard behind it.
class GuardedBuffer {
 public:
  static absl::StatusOr<GuardedBuffer> New(Backend* backend, size_t bytes) {
    GuardedBuffer guarded;
    guarded.bytes_ = bytes;
    ASSIGN_OR_RETURN(guarded.buffer_, backend->Allocate(bytes + kGuardBytes));
    std::memset(guarded.bytes(), 0xff, bytes);
    std::memset(guarded.bytes() + bytes, kGuard, kGuardBytes);
    return guarded;
  }
  void* data() const { return buffer_.data(); }
  bool Intact() const {
    return std::all_of(bytes() + bytes_, bytes() + bytes_ + kGuardBytes,
                       [](uint8_t byte) { return byte == kGuard; });
  }

 private:
  GuardedBuffer() = default;
  uint8_t* bytes() const { return static_cast<uint8_t*>(buffer_.data()); }

  Buffer buffer_;
  size_t bytes_ = 0;
};

absl::Status RunKernel(Backend* backend, Kernel* kernel, absl::Span<void* const> buffers) {
  ASSIGN_OR_RETURN(const GuardedBuffer scratch,
                   GuardedBuffer::New(backend, kernel->scratch_bytes()));
  kernel->Bind(buffers, scratch.data());
  kernel->Run();
  return scratch.Intact() ? absl::OkStatus() : absl::InternalError("wrote beyond scratch memory");
}

absl::Status Copy(Backend* backend, const TensorDescription& from, void* src,
                  const TensorDescription& to, void* dst) {
  if (from.layout.is_plain() && to.layout.is_plain()) {
    std::memcpy(dst, src, from.bytes());
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> reorder,
                   backend->Plan({OpKind::kReorder, {}, {from, to}}));
  void* const buffers[] = {src, dst};
  return RunKernel(backend, reorder.get(), buffers);
}

// Runs the forward operation of a max pool and returns its workspace.
absl::StatusOr<Buffer> MakeWorkspace(Backend* backend, const ConformanceCase& test_case,
                                     OpDescription* op) {
  OpDescription forward = *test_case.forward;
  Tensor src(DType::kFloat32, forward.operands[0].shape);
  FillOperand(Fill::kNormal, 1, 99, &src);
  forward.operands[0].layout = op->operands[2].layout;
  forward.operands[1].layout = op->operands[0].layout;
  forward.operands[2].layout = Layout::Any();
  ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> kernel, backend->Plan(forward));
  const auto settled = kernel->operands();
  ASSIGN_OR_RETURN(const Buffer src_buffer, backend->Allocate(settled[0].bytes()));
  ASSIGN_OR_RETURN(const Buffer dst_buffer, backend->Allocate(settled[1].bytes()));
  ASSIGN_OR_RETURN(Buffer workspace, backend->Allocate(settled[2].bytes()));
  RETURN_IF_ERROR(Copy(backend, {src.shape(), DType::kFloat32, Layout::Plain()}, src.raw_data(),
                       settled[0], src_buffer.data()));
  void* const buffers[] = {src_buffer.data(), dst_buffer.data(), workspace.data()};
  RETURN_IF_ERROR(RunKernel(backend, kernel.get(), buffers));
  op->operands[0] = settled[1];
  op->operands[1] = settled[2];
  op->operands[2] = settled[0];
  return workspace;
}

// Points written operands at the memory of the operands they may take over, each once.
void ShareInPlace(const OpDescription& op, std::vector<void*>* pointers) {
  std::vector<bool> used(op.operands.size(), false);
  for (const InPlacePair& pair : InPlaceOperands(op)) {
    if (used[pair.read] || used[pair.written]) continue;
    used[pair.read] = used[pair.written] = true;
    (*pointers)[pair.written] = (*pointers)[pair.read];
    if (op.kind == OpKind::kBatchNormBackward) return;
  }
}

}  // namespace

absl::StatusOr<std::vector<Tensor>> RunConformanceCase(Backend* backend,
                                                       const ConformanceCase& test_case,
                                                       const ConformanceRun& run) {
  std::vector<Tensor> tensors = FilledOperands(test_case);
  ASSIGN_OR_RETURN(OpDescription op, WithLayouts(backend, test_case, run.layouts));
  Buffer workspace;
  if (test_case.forward.has_value()) {
    ASSIGN_OR_RETURN(workspace, MakeWorkspace(backend, test_case, &op));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Kernel> kernel, backend->Plan(op));
  const auto settled = kernel->operands();
  const int count = static_cast<int>(op.operands.size());
  std::vector<GuardedBuffer> buffers;
  std::vector<void*> pointers;
  for (int i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(GuardedBuffer buffer, GuardedBuffer::New(backend, settled[i].bytes()));
    pointers.push_back(buffer.data());
    buffers.push_back(std::move(buffer));
    if (test_case.forward.has_value() && i == 1) {
      pointers[1] = workspace.data();
    } else if (AccessOf(op, i) != OperandAccess::kWrite) {
      RETURN_IF_ERROR(
          Copy(backend, test_case.op.operands[i], tensors[i].raw_data(), settled[i], pointers[i]));
    }
  }
  op.operands.assign(settled.begin(), settled.end());
  if (run.in_place) ShareInPlace(op, &pointers);
  RETURN_IF_ERROR(RunKernel(backend, kernel.get(), pointers));
  for (int i = 0; i < count; ++i) {
    if (!buffers[i].Intact()) {
      return absl::InternalError(absl::StrCat("wrote beyond the end of operand ", i));
    }
    if (AccessOf(op, i) == OperandAccess::kRead || settled[i].dtype != DType::kFloat32) {
      tensors[i] = Tensor();
    } else {
      RETURN_IF_ERROR(
          Copy(backend, settled[i], pointers[i], test_case.op.operands[i], tensors[i].raw_data()));
    }
  }
  return tensors;
}

namespace {

std::vector<Tensor> ReferenceResults(const ConformanceCase& test_case) {
  ReferenceBackend reference;
  absl::StatusOr<std::vector<Tensor>> results = RunConformanceCase(&reference, test_case, {});
  CHECK_OK(results.status());
  return *std::move(results);
}

// Whether the contract allows UNIMPLEMENTED here.
bool MayRefuse(const ConformanceCase& test_case, const ConformanceRun& run) {
  return test_case.may_refuse || run.layouts == LayoutChoice::kOfConvolution;
}

bool HasFreeImages(const ConformanceCase& test_case) {
  for (size_t i = 0; i < test_case.op.operands.size(); ++i) {
    if (IsFreeImage(test_case, i)) return true;
  }
  return false;
}

void ExpectSameResults(const ConformanceCase& test_case, const std::vector<Tensor>& want,
                       const std::vector<Tensor>& got) {
  ASSERT_EQ(want.size(), got.size());
  for (size_t operand = 0; operand < want.size(); ++operand) {
    ASSERT_EQ(want[operand].shape(), got[operand].shape());
    double largest = 0;
    for (float value : want[operand].span<float>()) {
      largest = std::max<double>(largest, std::abs(value));
    }
    for (int64_t i = 0; i < want[operand].element_count(); ++i) {
      const double expected = want[operand].data<float>()[i];
      const double actual = got[operand].data<float>()[i];
      ASSERT_LE(std::abs(actual - expected), test_case.tolerance * largest)
          << "operand " << operand << ", element " << i << ": " << actual << " instead of "
          << expected;
    }
  }
}

void ExpectSameBits(const std::vector<Tensor>& first,
                    const absl::StatusOr<std::vector<Tensor>>& second) {
  ASSERT_TRUE(second.ok()) << second.status();
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(BitwiseEqual(first[i], (*second)[i])) << "operand " << i;
  }
}

}  // namespace

void CheckConformance(Backend* backend, const ConformanceCase& test_case) {
  const std::vector<Tensor> want = ReferenceResults(test_case);
  ConformanceRun runs[] = {{LayoutChoice::kPlain, false},
                           {LayoutChoice::kAny, false},
                           {LayoutChoice::kOfConvolution, false},
                           {LayoutChoice::kPlain, true}};
  const char* const names[] = {"plain", "chosen", "of a convolution", "in place"};
  for (int i = 0; i < 4; ++i) {
    if (runs[i].layouts == LayoutChoice::kOfConvolution && !HasFreeImages(test_case)) continue;
    if (runs[i].in_place && InPlaceOperands(test_case.op).empty()) continue;
    SCOPED_TRACE(names[i]);
    const auto got = RunConformanceCase(backend, test_case, runs[i]);
    if (absl::IsUnimplemented(got.status()) && MayRefuse(test_case, runs[i])) continue;
    ASSERT_TRUE(got.ok()) << got.status();
    ExpectSameResults(test_case, want, *got);
    if (runs[i].layouts == LayoutChoice::kAny) {
      ExpectSameBits(*got, RunConformanceCase(backend, test_case, runs[i]));
    }
  }
}

ConformanceCases AllConformanceCases() {
  ConformanceCases cases;
  AddMatMulCases(&cases);
  AddAttentionCases(&cases);
  AddConvolutionCases(&cases);
  AddBatchNormCases(&cases);
  AddLayerNormCases(&cases);
  AddPoolCases(&cases);
  AddElementwiseCases(&cases);
  AddDataMovementCases(&cases);
  AddLossCases(&cases);
  AddParameterCases(&cases);
  return cases;
}

}  // namespace topiary
