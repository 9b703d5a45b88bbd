// Instruction sets that own kernels are compiled for.
#ifndef TOPIARY_WORKER_KERNELS_SIMD_CPU_ISA_H_
#define TOPIARY_WORKER_KERNELS_SIMD_CPU_ISA_H_

namespace topiary {

// Ordered: a later one includes the earlier ones.
enum class CpuIsa {
  kPortable,  // What the compiler's baseline has.
  kAvx2,      // AVX2 and FMA.
  kAvx512,    // AVX-512 F, DQ, BW and VL.
};

// The most that this processor has.
CpuIsa DetectedIsa();

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_SIMD_CPU_ISA_H_
