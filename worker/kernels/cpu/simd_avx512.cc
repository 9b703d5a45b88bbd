// The own kernels for avx512. They call no inline function of a common header: compiled here,
// with the flags of this instruction set, it could be the copy that the linker keeps.
#include <cstdint>

#include "worker/kernels/cpu/simd_kernels.h"
#include "worker/kernels/simd/vector_avx512.h"

namespace topiary {
namespace simd_avx512 {
namespace {

constexpr CpuIsa kIsa = CpuIsa::kAvx512;

#include "worker/kernels/cpu/simd_elementwise.inc"
// The order matters: each uses the one before.
#include "worker/kernels/cpu/simd_reduce.inc"
//
#include "worker/kernels/cpu/simd_batch_norm.inc"
#include "worker/kernels/cpu/simd_layer_norm.inc"
#include "worker/kernels/cpu/simd_optimizer.inc"

}  // namespace

#include "worker/kernels/cpu/simd_table.inc"

}  // namespace simd_avx512
}  // namespace topiary
