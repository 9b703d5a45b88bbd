// The own kernels for portable. They call no inline function of a common header: compiled here,
// with the flags of this instruction set, it could be the copy that the linker keeps.
#include <cstdint>

#include "worker/kernels/cpu/simd_kernels.h"
#include "worker/kernels/simd/vector_portable.h"

namespace topiary {
namespace simd_portable {
namespace {

constexpr CpuIsa kIsa = CpuIsa::kPortable;

#include "worker/kernels/cpu/simd_elementwise.inc"
// The order matters: each uses the one before.
#include "worker/kernels/cpu/simd_reduce.inc"
//
#include "worker/kernels/cpu/simd_batch_norm.inc"
#include "worker/kernels/cpu/simd_layer_norm.inc"
#include "worker/kernels/cpu/simd_optimizer.inc"

}  // namespace

#include "worker/kernels/cpu/simd_table.inc"

}  // namespace simd_portable
}  // namespace topiary
