// The loops on blocks for avx512. They call no inline function of a common header: compiled here,
// with the flags of this instruction set, it could be the copy that the linker keeps.
#include <cstdint>

#include "worker/kernels/blocksparse/block_kernels.h"
#include "worker/kernels/simd/vector_avx512.h"

namespace topiary {
namespace simd_avx512 {
namespace {

constexpr CpuIsa kIsa = CpuIsa::kAvx512;
constexpr int kRegisters = 32;

#include "worker/kernels/blocksparse/block_gradient.inc"
#include "worker/kernels/blocksparse/block_multiply.inc"
#include "worker/kernels/blocksparse/block_panels.inc"

}  // namespace

#include "worker/kernels/blocksparse/block_table.inc"

}  // namespace simd_avx512
}  // namespace topiary
