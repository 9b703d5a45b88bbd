// How the elements of a tensor lie in memory.
#ifndef TOPIARY_WORKER_KERNELS_LAYOUT_H_
#define TOPIARY_WORKER_KERNELS_LAYOUT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"

namespace topiary {

// A layout that only the backend that made it understands, such as oneDNN's
// channel blocks. Immutable, so thread-safe.
class OpaqueLayout {
 public:
  virtual ~OpaqueLayout() = default;
  // Bytes of a tensor in this layout, padding included.
  virtual size_t bytes() const = 0;
  // `other` was made by the same backend.
  virtual bool Equals(const OpaqueLayout& other) const = 0;
  // For messages and plan listings: "nchw16c".
  virtual std::string ToString() const = 0;
};

// Plain (row-major, dense), or opaque, or, only in what is given to
// Backend::Plan(), any: the backend may choose. A value type; thread-compatible.
class Layout {
 public:
  // Plain.
  Layout() = default;
  static Layout Plain() { return Layout(); }
  static Layout Any() { return Layout(Kind::kAny, nullptr); }
  // A backend whose own layout happens to be row-major says Plain() instead, so
  // that equal memory compares equal.
  static Layout Opaque(std::shared_ptr<const OpaqueLayout> opaque) {
    return Layout(Kind::kOpaque, std::move(opaque));
  }

  bool is_plain() const { return kind_ == Kind::kPlain; }
  bool is_any() const { return kind_ == Kind::kAny; }
  // Null unless opaque.
  const OpaqueLayout* opaque() const { return opaque_.get(); }

  std::string ToString() const {
    return is_plain() ? "plain" : is_any() ? "any" : opaque_->ToString();
  }

  friend bool operator==(const Layout& a, const Layout& b) {
    if (a.kind_ != b.kind_) return false;
    return a.opaque_ == b.opaque_ || a.opaque_->Equals(*b.opaque_);
  }
  friend bool operator!=(const Layout& a, const Layout& b) { return !(a == b); }

 private:
  enum class Kind { kPlain, kAny, kOpaque };
  Layout(Kind kind, std::shared_ptr<const OpaqueLayout> opaque)
      : kind_(kind), opaque_(std::move(opaque)) {}

  Kind kind_ = Kind::kPlain;
  std::shared_ptr<const OpaqueLayout> opaque_;
};

// Logical shape (always that of ONNX: [n, c, h, w]), element type and layout of
// one operand. A value type; thread-compatible.
struct TensorDescription {
  Shape shape;
  DType dtype = DType::kFloat32;
  Layout layout;

  // Bytes of memory; the layout must not be any.
  size_t bytes() const {
    return layout.opaque() != nullptr ? layout.opaque()->bytes()
                                      : static_cast<size_t>(shape.element_count()) * SizeOf(dtype);
  }
  friend bool operator==(const TensorDescription& a, const TensorDescription& b) {
    return a.shape == b.shape && a.dtype == b.dtype && a.layout == b.layout;
  }
  friend bool operator!=(const TensorDescription& a, const TensorDescription& b) {
    return !(a == b);
  }
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_LAYOUT_H_
