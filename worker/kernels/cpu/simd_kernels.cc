#include "worker/kernels/cpu/simd_kernels.h"

namespace topiary {

#if defined(__x86_64__)
namespace simd_avx512 {
const SimdKernels& Kernels();
}
namespace simd_avx2 {
const SimdKernels& Kernels();
}
#endif
namespace simd_portable {
const SimdKernels& Kernels();
}

const SimdKernels& SimdKernelsFor(CpuIsa isa) {
#if defined(__x86_64__)
  if (isa == CpuIsa::kAvx512) return simd_avx512::Kernels();
  if (isa == CpuIsa::kAvx2) return simd_avx2::Kernels();
#endif
  static_cast<void>(isa);
  return simd_portable::Kernels();
}

}  // namespace topiary
