// The arithmetic of one device, in three steps: Plan() once per operation and
// shape, Bind() once memory has been laid out, Run() once per training step. Planning
// chooses layouts and creates primitives; running allocates nothing and
// looks nothing up.
//
// Operations, operands, aliasing and layouts: op_description.h.
//
// Same backend info, same plans, same inputs: same bits. Reductions have a fixed
// order, also over threads.
#ifndef TOPIARY_WORKER_KERNELS_BACKEND_H_
#define TOPIARY_WORKER_KERNELS_BACKEND_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/kernels/op_description.h"

namespace topiary {

// Of kMatMul and the convolutions without a pattern: operands as they are, or rounded to bfloat16,
// to nearest even. Sums, results and all other operations are float32 either way.
enum class Precision { kFloat32, kBfloat16 };

// "float32", "bfloat16".
constexpr absl::string_view PrecisionName(Precision precision) {
  return precision == Precision::kBfloat16 ? "bfloat16" : "float32";
}

// What two runs must share to give the same bits (design: "determinism key").
struct BackendInfo {
  std::string name;  // "reference", "onednn".
  std::string isa;   // Effective instruction set: "avx512_core"; "portable" where none matters.
  int threads = 1;
  std::vector<std::pair<std::string, std::string>> versions;  // {"onednn", "3.2.0"}.
  Precision precision = Precision::kFloat32;
};

// Device memory, zeroed when allocated, aligned to 64 bytes and freed by the
// destructor. Movable. Thread-compatible.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<void> memory, size_t bytes) : memory_(std::move(memory)), bytes_(bytes) {}
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return memory_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> memory_;
  size_t bytes_ = 0;
};

// One planned operation. Not thread-safe: one thread at a time per backend.
class Kernel {
 public:
  virtual ~Kernel() = default;

  // The operands of the description with every layout settled: what was given as plain
  // or opaque is unchanged, any has been replaced.
  virtual absl::Span<const TensorDescription> operands() const = 0;

  // Bytes of scratch memory that Run() needs; what it holds between runs does not
  // matter, so all kernels of a program share one area.
  virtual size_t scratch_bytes() const { return 0; }

  // Sets the memory of every operand, in the order of operands(), each aligned
  // to 64 bytes, and the scratch area. Called before the first Run(), and again whenever memory
  // moves. The kernel does not own it.
  virtual void Bind(absl::Span<void* const> buffers, void* scratch) = 0;

  virtual void Run() = 0;
};

// Thread-compatible: one thread at a time. Outlives its kernels and buffers.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual BackendInfo info() const = 0;

  // Whether Buffer::data() may be read and written by the host between runs.
  virtual bool host_accessible() const = 0;

  // RESOURCE_EXHAUSTED where there is not that much memory.
  virtual absl::StatusOr<Buffer> Allocate(size_t bytes) = 0;

  // Shapes and parameters were checked by shape inference: a mismatch is a bug
  // and CHECK-fails. UNIMPLEMENTED for a layout, fusion or accumulation that
  // this backend does not have: the caller plans without it. INTERNAL where
  // the device or its library fails.
  virtual absl::StatusOr<std::unique_ptr<Kernel>> Plan(const OpDescription& op) = 0;

  // One that computes the same on one thread. Those made by one backend may run kernels at the same
  // time, each on a thread of OnEachThread().
  virtual std::unique_ptr<Backend> SingleThreaded() const = 0;

  // Calls body(i) for i in [0, info().threads), each on a thread of its own, and waits for them.
  virtual void OnEachThread(const std::function<void(int)>& body) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BACKEND_H_
