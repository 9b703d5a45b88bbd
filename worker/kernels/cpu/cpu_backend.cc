#include "worker/kernels/cpu/cpu_backend.h"

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_ops.h"
#include "worker/kernels/cpu/onednn_util.h"
#include "worker/kernels/cpu/own_kernel.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

// oneDNN's instruction sets that matter here, most capable first.
struct IsaName {
  dnnl::cpu_isa onednn;
  const char* name;
  CpuIsa own;
  // Whether oneDNN multiplies bfloat16, forward and backward, with instructions for it. It also
  // does so with AVX-512 alone, but slower than float32, and with avx2_vnni_2 forward only.
  bool bfloat16;
};
constexpr IsaName kIsaNames[] = {
    {dnnl::cpu_isa::avx512_core_amx_fp16, "avx512_core_amx_fp16", CpuIsa::kAvx512, true},
    {dnnl::cpu_isa::avx512_core_amx, "avx512_core_amx", CpuIsa::kAvx512, true},
    {dnnl::cpu_isa::avx512_core_fp16, "avx512_core_fp16", CpuIsa::kAvx512, true},
    {dnnl::cpu_isa::avx512_core_bf16, "avx512_core_bf16", CpuIsa::kAvx512, true},
    {dnnl::cpu_isa::avx512_core_vnni, "avx512_core_vnni", CpuIsa::kAvx512, false},
    {dnnl::cpu_isa::avx512_core, "avx512_core", CpuIsa::kAvx512, false},
    {dnnl::cpu_isa::avx2_vnni_2, "avx2_vnni_2", CpuIsa::kAvx2, false},
    {dnnl::cpu_isa::avx2_vnni, "avx2_vnni", CpuIsa::kAvx2, false},
    {dnnl::cpu_isa::avx2, "avx2", CpuIsa::kAvx2, false},
    {dnnl::cpu_isa::avx, "avx", CpuIsa::kPortable, false},
    {dnnl::cpu_isa::sse41, "sse41", CpuIsa::kPortable, false},
};

IsaName EffectiveIsa() {
  const dnnl::cpu_isa effective = dnnl::get_effective_cpu_isa();
  for (const IsaName& isa : kIsaNames) {
    if (isa.onednn == effective) return isa;
  }
  return {effective, "portable", CpuIsa::kPortable, false};
}

dnnl::cpu_isa OneDnnLimit(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAvx512:
      return dnnl::cpu_isa::isa_default;
    case CpuIsa::kAvx2:
      return dnnl::cpu_isa::avx2;
    case CpuIsa::kPortable:
      break;
  }
  return dnnl::cpu_isa::sse41;
}

absl::Status LimitIsa(CpuIsa limit) {
  // Asked before oneDNN settles what it uses.
  if (limit != CpuIsa::kAvx512)
    dnnl_set_max_cpu_isa(static_cast<dnnl_cpu_isa_t>(OneDnnLimit(limit)));
  const IsaName effective = EffectiveIsa();
  if (effective.own <= limit) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("this process already runs oneDNN with ",
                                                    effective.name,
                                                    "; set ONEDNN_MAX_CPU_ISA before it starts"));
}

absl::Status CheckPrecision(Precision precision, const IsaName& isa) {
  if (precision == Precision::kFloat32 || isa.bfloat16) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "products of ", PrecisionName(precision),
      " need oneDNN to run with avx512_core_bf16 or above, but in this process it runs with ",
      isa.name, ": use ", PrecisionName(Precision::kFloat32),
      ", or a processor with AVX512_BF16 that nothing limits (ONEDNN_MAX_CPU_ISA, --isa)"));
}

bool HasNoElements(const OpDescription& op) {
  const auto empty = [](const TensorDescription& t) {
    return t.layout.opaque() == nullptr && t.dtype != DType::kUint8 && t.shape.element_count() == 0;
  };
  return std::any_of(op.operands.begin(), op.operands.end(), empty);
}

bool IsPlainOrAny(const OpDescription& op) {
  return std::all_of(op.operands.begin(), op.operands.end(),
                     [](const TensorDescription& t) { return t.layout.opaque() == nullptr; });
}

bool HasPattern(const OpDescription& op) {
  if (const auto* p = std::get_if<ConvolutionParameters>(&op.parameters)) {
    return p->pattern != nullptr;
  }
  const auto& p = std::get<MatMulParameters>(op.parameters);
  return p.b_pattern != nullptr || p.dst_pattern != nullptr;
}

// Whether `op` is computed in the precision of the backend.
bool HasPrecision(const OpDescription& op) {
  switch (op.kind) {
    case OpKind::kMatMul:
    case OpKind::kConvolutionForward:
    case OpKind::kConvolutionBackwardData:
    case OpKind::kConvolutionBackwardWeights:
      return !HasPattern(op);
    default:
      return false;
  }
}

// What the caller may do without, and should rather than have it done by plain loops.
bool AsksForFusion(const OpDescription& op) {
  if (const auto* p = std::get_if<MatMulParameters>(&op.parameters)) {
    return p->accumulate || p->fused_relu || p->fused_gelu || p->has_residual;
  }
  if (const auto* p = std::get_if<ConvolutionParameters>(&op.parameters)) {
    return p->accumulate || p->fused_relu;
  }
  return false;
}

constexpr size_t kHugePage = size_t{2} << 20;

// Zeroed, in pages so large that the addresses of all of it stay known to the processor: rows of a
// table that are read at random, and columns of wide matrices, lie on a page of their own each
// otherwise. Where the system has no huge pages left, it takes small ones.
absl::StatusOr<Buffer> AllocateHugePages(size_t bytes) {
  const size_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  // Room to begin at a multiple of a huge page.
  const size_t mapped = size + kHugePage;
  void* memory = mapped < bytes ? MAP_FAILED
                                : mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", bytes, " bytes"));
  }
  const auto address = reinterpret_cast<uintptr_t>(memory);
  char* const aligned = static_cast<char*>(memory) + (kHugePage - address % kHugePage);
  // A wish: without it all works the same, but slower.
  (void)madvise(aligned, size, MADV_HUGEPAGE);
  const std::shared_ptr<void> owner(memory, [mapped](void* p) { munmap(p, mapped); });
  return Buffer(std::shared_ptr<void>(owner, aligned), bytes);
}

}  // namespace

struct CpuBackend::State {
  OneDnnContext onednn;
  CpuContext own;
  IsaName isa;
  Precision precision = Precision::kFloat32;
  ReferenceBackend reference;

  KernelOr Plan(const OpDescription& op);
};

KernelOr CpuBackend::State::Plan(const OpDescription& op) {
  switch (op.kind) {
    case OpKind::kReorder:
      return PacksBlocks(op) ? PlanPackBlocks(op) : PlanReorder(onednn, op);
    case OpKind::kTranspose:
      return PlanTranspose(onednn, op);
    case OpKind::kMatMul:
      return HasPattern(op) ? PlanBlockSparseMatMul(own, op) : PlanMatMul(onednn, op);
    case OpKind::kConvolutionForward:
      return HasPattern(op) ? PlanBlockSparseConvolution(own, op)
                            : PlanConvolutionForward(onednn, op);
    case OpKind::kConvolutionBackwardData:
      return HasPattern(op) ? PlanBlockSparseConvolution(own, op)
                            : PlanConvolutionBackwardData(onednn, op);
    case OpKind::kConvolutionBackwardWeights:
      return HasPattern(op) ? PlanBlockSparseKernelGradient(own, op)
                            : PlanConvolutionBackwardWeights(onednn, op);
    case OpKind::kPoolForward:
      return PlanPoolForward(onednn, op);
    case OpKind::kPoolBackward:
      return PlanPoolBackward(onednn, op);
    case OpKind::kBatchNormForwardTraining:
    case OpKind::kBatchNormForwardInference:
    case OpKind::kBatchNormForwardAgain:
      return PlanBatchNormForward(own, op);
    case OpKind::kBatchNormBackward:
      return PlanBatchNormBackward(own, op);
    case OpKind::kLayerNormForward:
      return PlanLayerNormForward(own, op);
    case OpKind::kLayerNormBackward:
      return PlanLayerNormBackward(own, op);
    case OpKind::kUnaryForward:
      return PlanUnaryForward(own, op);
    case OpKind::kUnaryBackward:
      return PlanUnaryBackward(own, op);
    case OpKind::kBinary:
      return PlanBinary(own, op);
    case OpKind::kReduceSum:
      return PlanReduceSum(own, op);
    case OpKind::kSoftmaxForward:
      return PlanSoftmaxForward(own, op);
    case OpKind::kSoftmaxBackward:
      return PlanSoftmaxBackward(own, op);
    case OpKind::kAttention:
      return PlanAttention(own, op);
    case OpKind::kAttentionBackward:
      return PlanAttentionBackward(own, op);
    case OpKind::kConcat:
    case OpKind::kSplit:
      return PlanConcat(own, op);
    case OpKind::kGather:
      return PlanGather(own, op);
    case OpKind::kGatherBackward:
      return PlanGatherBackward(own, op);
    case OpKind::kEmbeddingForward:
      return PlanEmbeddingForward(own, op);
    case OpKind::kEmbeddingBackward:
      return PlanEmbeddingBackward(own, op);
    case OpKind::kEmbeddingUpdate:
      return PlanEmbeddingUpdate(own, op);
    case OpKind::kDropoutForward:
    case OpKind::kDropoutBackward:
      return PlanDropout(own, op);
    case OpKind::kSoftmaxCrossEntropy:
    case OpKind::kBinaryCrossEntropyWithLogits:
    case OpKind::kMeanSquaredError:
    case OpKind::kDistillation:
      return PlanLoss(own, op);
    case OpKind::kSumOfSquares:
      return PlanSumOfSquares(own, op);
    case OpKind::kScaleBlocks:
      return PlanScaleBlocks(own, op);
    case OpKind::kBlockInnerProducts:
      return PlanBlockInnerProducts(own, op);
    case OpKind::kOptimizerUpdate:
      return PlanOptimizerUpdate(own, op);
  }
  return absl::InternalError("unknown kind of operation");
}

CpuBackend::CpuBackend(std::unique_ptr<State> state) : state_(std::move(state)) {}
CpuBackend::~CpuBackend() = default;

absl::StatusOr<std::unique_ptr<CpuBackend>> CpuBackend::Create(const CpuBackendOptions& options) {
  if (options.threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads must not be negative, but is ", options.threads));
  }
  if (options.max_isa) RETURN_IF_ERROR(LimitIsa(*options.max_isa));
  return OneDnnTry("starting", [&]() -> absl::StatusOr<std::unique_ptr<CpuBackend>> {
    auto state = std::make_unique<State>();
    const int threads = options.threads > 0 ? options.threads : omp_get_num_procs();
    state->isa = EffectiveIsa();
    RETURN_IF_ERROR(CheckPrecision(options.precision, state->isa));
    state->precision = options.precision;
    const CpuIsa isa = std::min(state->isa.own, DetectedIsa());
    state->own = {threads, &SimdKernelsFor(isa)};
    state->onednn.engine = dnnl::engine(dnnl::engine::kind::cpu, 0);
    state->onednn.stream = dnnl::stream(state->onednn.engine);
    state->onednn.threads = threads;
    state->onednn.channel_block = isa == CpuIsa::kAvx512 ? 16 : 8;
    if (options.precision == Precision::kBfloat16) {
      state->onednn.factor_type = dnnl::memory::data_type::bf16;
    }
    return std::unique_ptr<CpuBackend>(new CpuBackend(std::move(state)));
  });
}

std::unique_ptr<Backend> CpuBackend::SingleThreaded() const {
  auto state = std::make_unique<State>(*state_);
  state->own.threads = state->onednn.threads = 1;
  // Kernels that run at the same time do not share a stream.
  state->onednn.stream = dnnl::stream(state->onednn.engine);
  return std::unique_ptr<Backend>(new CpuBackend(std::move(state)));
}

void CpuBackend::OnEachThread(const std::function<void(int)>& body) {
  ParallelFor(state_->own.threads, state_->own.threads, 0, 1,
              [&](int64_t, int64_t, int thread) { body(thread); });
}

BackendInfo CpuBackend::info() const {
  const dnnl_version_t* version = dnnl_version();
  return {"onednn",
          state_->isa.name,
          state_->own.threads,
          {{"onednn", absl::StrCat(version->major, ".", version->minor, ".", version->patch)}},
          state_->precision};
}

CpuIsa CpuBackend::own_isa() const { return state_->own.simd->isa; }

absl::StatusOr<Buffer> CpuBackend::Allocate(size_t bytes) {
  if (bytes >= 2 * kHugePage) return AllocateHugePages(bytes);
  // Zeroed, as what comes from the system is.
  constexpr size_t kAlignment = 64;
  const size_t rounded =
      std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment) + kAlignment;
  std::shared_ptr<void> memory(rounded < bytes ? nullptr : std::calloc(rounded, 1), std::free);
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot allocate ", bytes, " bytes"));
  }
  const auto address = reinterpret_cast<uintptr_t>(memory.get());
  char* const aligned = static_cast<char*>(memory.get()) + (kAlignment - address % kAlignment);
  return Buffer(std::shared_ptr<void>(memory, aligned), bytes);
}

absl::StatusOr<std::unique_ptr<Kernel>> CpuBackend::Plan(const OpDescription& op) {
  if (HasNoElements(op)) return state_->reference.Plan(op);
  UseThreads(state_->onednn.threads);  // oneDNN divides the work when it plans.
  KernelOr kernel =
      OneDnnTry(absl::StrCat("planning ", OpKindName(op.kind)), [&] { return state_->Plan(op); });
  // Plain operands without a fusion must work; the reference has fusions as well, but slowly,
  // so that a caller who can do without one should. It has no precision but float32.
  const bool same_precision = state_->precision == Precision::kFloat32 || !HasPrecision(op);
  if (absl::IsUnimplemented(kernel.status()) && IsPlainOrAny(op) && !AsksForFusion(op) &&
      same_precision) {
    return state_->reference.Plan(op);
  }
  return kernel;
}

}  // namespace topiary
