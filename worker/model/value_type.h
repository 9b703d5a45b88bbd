// The static type of a value: element type and concrete shape.
#ifndef TOPIARY_WORKER_MODEL_VALUE_TYPE_H_
#define TOPIARY_WORKER_MODEL_VALUE_TYPE_H_

#include "worker/tensor/dtype.h"
#include "worker/tensor/shape.h"

namespace topiary {

struct ValueType {
  DType dtype = DType::kFloat32;
  Shape shape;

  friend bool operator==(const ValueType& a, const ValueType& b) {
    return a.dtype == b.dtype && a.shape == b.shape;
  }
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_VALUE_TYPE_H_
