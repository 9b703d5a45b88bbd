// A Kernel made of oneDNN primitives that run one after another.
#ifndef TOPIARY_WORKER_KERNELS_CPU_ONEDNN_KERNEL_H_
#define TOPIARY_WORKER_KERNELS_CPU_ONEDNN_KERNEL_H_

#include <dnnl.hpp>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "worker/kernels/backend.h"
#include "worker/kernels/cpu/onednn_util.h"

namespace topiary {

// Collects primitives and the memory of their arguments; Build() makes the kernel. Memory
// is an operand of the operation or a temporary in the scratch area. The
// scratchpads of the primitives share one place there, since one runs at a time.
//
// Scratchpads must be in user mode (ScratchpadFromUser()). May throw dnnl::error:
// use inside OneDnnTry().
class OneDnnKernelBuilder {
 public:
  explicit OneDnnKernelBuilder(OneDnnContext context) : context_(std::move(context)) {}

  // Number of the memory of operand `index`, read and written as `desc`.
  int Operand(int index, const dnnl::memory::desc& desc);
  // Number of a temporary.
  int Temporary(const dnnl::memory::desc& desc);
  // Adds a primitive: its arguments as {DNNL_ARG_..., number of a memory}.
  void Add(const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
           const std::map<int, int>& arguments);
  // Adds a change of layout unless the two are equal; returns the number of the memory
  // that holds `memory` (which has layout `from`) as `to`.
  int Reordered(int memory, const dnnl::memory::desc& from, const dnnl::memory::desc& to);
  void AddReorder(int src, const dnnl::memory::desc& from, int dst, const dnnl::memory::desc& to);

  std::unique_ptr<Kernel> Build(std::vector<TensorDescription> operands);

 private:
  friend class OneDnnKernel;
  struct Memory {
    dnnl::memory memory;
    int operand;    // -1: temporary.
    size_t offset;  // Of a temporary, in the scratch area.
  };
  struct Step {
    dnnl::primitive primitive;
    dnnl::memory scratchpad;
    std::vector<dnnl_exec_arg_t> arguments;
  };

  OneDnnContext context_;
  std::vector<Memory> memories_;
  std::vector<Step> steps_;
  size_t temporary_bytes_ = 0;
  size_t scratchpad_bytes_ = 0;
};

// Attributes with the scratchpad in user mode.
dnnl::primitive_attr ScratchpadFromUser();

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_ONEDNN_KERNEL_H_
