#include "worker/kernels/blocksparse/block_kernels.h"

namespace topiary {

#if defined(__x86_64__)
namespace simd_avx512 {
const BlockKernels& BlockKernelsOfIsa();
}
namespace simd_avx2 {
const BlockKernels& BlockKernelsOfIsa();
}
#endif
namespace simd_portable {
const BlockKernels& BlockKernelsOfIsa();
}

const BlockKernels& BlockKernelsFor(CpuIsa isa) {
#if defined(__x86_64__)
  if (isa == CpuIsa::kAvx512) return simd_avx512::BlockKernelsOfIsa();
  if (isa == CpuIsa::kAvx2) return simd_avx2::BlockKernelsOfIsa();
#endif
  static_cast<void>(isa);
  return simd_portable::BlockKernelsOfIsa();
}

}  // namespace topiary
