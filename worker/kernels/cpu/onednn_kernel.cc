#include "worker/kernels/cpu/onednn_kernel.h"

#include <algorithm>

#include "common/check.h"
#include "worker/kernels/simd/parallel.h"

namespace topiary {
namespace {

constexpr size_t kAlignment = 64;

size_t RoundedUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

// Runs the steps through oneDNN's C interface, whose arguments are an array made once; the
// C++ one makes a map for each call.
class OneDnnKernel final : public Kernel {
 public:
  OneDnnKernel(OneDnnKernelBuilder&& parts, std::vector<TensorDescription> operands)
      : parts_(std::move(parts)), operands_(std::move(operands)) {}

  absl::Span<const TensorDescription> operands() const override { return operands_; }

  size_t scratch_bytes() const override {
    return parts_.temporary_bytes_ + parts_.scratchpad_bytes_;
  }

  void Bind(absl::Span<void* const> buffers, void* scratch) override {
    char* base = static_cast<char*>(scratch);
    for (auto& m : parts_.memories_) {
      m.memory.set_data_handle(m.operand >= 0 ? buffers[m.operand] : base + m.offset);
    }
    for (auto& step : parts_.steps_) {
      if (step.scratchpad) step.scratchpad.set_data_handle(base + parts_.temporary_bytes_);
    }
  }

  void Run() override {
    UseThreads(parts_.context_.threads);
    for (const auto& step : parts_.steps_) {
      const dnnl_status_t status =
          dnnl_primitive_execute(step.primitive.get(), parts_.context_.stream.get(),
                                 static_cast<int>(step.arguments.size()), step.arguments.data());
      CHECK(status == dnnl_success) << "oneDNN could not execute a primitive: status " << status;
    }
  }

 private:
  OneDnnKernelBuilder parts_;
  std::vector<TensorDescription> operands_;
};

int OneDnnKernelBuilder::Operand(int index, const dnnl::memory::desc& desc) {
  memories_.push_back({dnnl::memory(desc, context_.engine, nullptr), index, 0});
  return static_cast<int>(memories_.size()) - 1;
}

int OneDnnKernelBuilder::Temporary(const dnnl::memory::desc& desc) {
  memories_.push_back({dnnl::memory(desc, context_.engine, nullptr), -1, temporary_bytes_});
  temporary_bytes_ += RoundedUp(desc.get_size());
  return static_cast<int>(memories_.size()) - 1;
}

void OneDnnKernelBuilder::Add(const dnnl::primitive& primitive,
                              const dnnl::memory::desc& scratchpad,
                              const std::map<int, int>& arguments) {
  Step step{primitive, dnnl::memory(), {}};
  for (const auto& [argument, memory] : arguments) {
    step.arguments.push_back({argument, memories_[memory].memory.get()});
  }
  if (scratchpad.get_size() > 0) {
    step.scratchpad = dnnl::memory(scratchpad, context_.engine, nullptr);
    step.arguments.push_back({DNNL_ARG_SCRATCHPAD, step.scratchpad.get()});
    scratchpad_bytes_ = std::max(scratchpad_bytes_, RoundedUp(scratchpad.get_size()));
  }
  steps_.push_back(std::move(step));
}

void OneDnnKernelBuilder::AddReorder(int src, const dnnl::memory::desc& from, int dst,
                                     const dnnl::memory::desc& to) {
  const dnnl::reorder::primitive_desc description(context_.engine, from, context_.engine, to,
                                                  ScratchpadFromUser());
  Add(dnnl::reorder(description), description.scratchpad_desc(),
      {{DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}});
}

int OneDnnKernelBuilder::Reordered(int memory, const dnnl::memory::desc& from,
                                   const dnnl::memory::desc& to) {
  if (from == to) return memory;
  const int temporary = Temporary(to);
  AddReorder(memory, from, temporary, to);
  return temporary;
}

std::unique_ptr<Kernel> OneDnnKernelBuilder::Build(std::vector<TensorDescription> operands) {
  return std::make_unique<OneDnnKernel>(std::move(*this), std::move(operands));
}

dnnl::primitive_attr ScratchpadFromUser() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

}  // namespace topiary
