#ifndef TOPIARY_WORKER_DATA_NPY_H_
#define TOPIARY_WORKER_DATA_NPY_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/tensor/shape.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// An array in NumPy's .npy format, versions 1 to 3
// (numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Views the bytes it was parsed
// from.
struct NpyArray {
  enum class Element { kF4, kF8, kU1, kU2, kU4, kI1, kI2, kI4, kI8, kBool };
  Element element = Element::kF4;
  bool fortran_order = false;
  Shape shape;
  absl::string_view data;  // Little-endian, as many bytes as shape and element say.

  bool is_float() const { return element == Element::kF4 || element == Element::kF8; }
};

// INVALID_ARGUMENT: not an .npy file, a malformed header, or data that are shorter or longer than
// the shape says. UNIMPLEMENTED: an element type that is not supported (the message says which
// are).
absl::StatusOr<NpyArray> ParseNpy(absl::string_view bytes);

// What ToTensor() will take, in bytes.
int64_t TensorBytes(const NpyArray& array, DType dtype);

// The elements in row-major order as float32 or int64 (integer arrays only).
Tensor ToTensor(const NpyArray& array, DType dtype);

}  // namespace topiary

#endif  // TOPIARY_WORKER_DATA_NPY_H_
