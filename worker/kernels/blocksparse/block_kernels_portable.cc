// The loops on blocks for portable. They call no inline function of a common header: compiled here,
// with the flags of this instruction set, it could be the copy that the linker keeps.
#include <cstdint>

#include "worker/kernels/blocksparse/block_kernels.h"
#include "worker/kernels/simd/vector_portable.h"

namespace topiary {
namespace simd_portable {
namespace {

constexpr CpuIsa kIsa = CpuIsa::kPortable;
constexpr int kRegisters = 16;

#include "worker/kernels/blocksparse/block_gradient.inc"
#include "worker/kernels/blocksparse/block_multiply.inc"
#include "worker/kernels/blocksparse/block_panels.inc"

}  // namespace

#include "worker/kernels/blocksparse/block_table.inc"

}  // namespace simd_portable
}  // namespace topiary
