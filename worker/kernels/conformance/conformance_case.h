// One operation with operands to try it on. Tests only.
#ifndef TOPIARY_WORKER_KERNELS_CONFORMANCE_CONFORMANCE_CASE_H_
#define TOPIARY_WORKER_KERNELS_CONFORMANCE_CONFORMANCE_CASE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "worker/kernels/op_description.h"
#include "worker/tensor/tensor.h"

namespace topiary {

// What an operand holds before the run.
enum class Fill {
  kNormal,    // Standard normal.
  kPositive,  // Uniform in [0.5, 1.5).
  kUnit,      // Uniform in [0, 1).
  kClasses,   // int32 below `classes`.
  kGarbage,   // Bytes 0xff: NaN. For what is written only.
};

struct ConformanceCase {
  std::string name;  // Letters and digits.
  OpDescription op;  // All layouts plain.
  std::vector<Fill> fills;
  std::vector<bool> free_layout;
  int32_t classes = 1;
  // Allowed difference, relative to the largest magnitude of the reference's operand.
  double tolerance = 2e-5;
  // A fusion or accumulation, which a backend need not have.
  bool may_refuse = false;
  // For kPoolBackward of a maximum: the forward operation that makes its workspace.
  std::optional<OpDescription> forward;
  // Makes operands consistent with one another after they were filled.
  std::function<void(std::vector<Tensor>*)> prepare;
  // Holds what pointers in `op` point at.
  std::shared_ptr<const void> keep_alive;
};

// Builds a case operand by operand.
class CaseBuilder {
 public:
  CaseBuilder(std::string name, OpKind kind, OpParameters parameters) {
    case_.name = std::move(name);
    case_.op.kind = kind;
    case_.op.parameters = std::move(parameters);
  }
  CaseBuilder& Read(const Shape& shape, Fill fill = Fill::kNormal) {
    return Add(shape, DType::kFloat32, fill, false);
  }
  CaseBuilder& ReadFree(const Shape& shape, Fill fill = Fill::kNormal) {
    return Add(shape, DType::kFloat32, fill, true);
  }
  CaseBuilder& Write(const Shape& shape) {
    return Add(shape, DType::kFloat32, Fill::kGarbage, false);
  }
  CaseBuilder& WriteFree(const Shape& shape) {
    return Add(shape, DType::kFloat32, Fill::kGarbage, true);
  }
  CaseBuilder& Labels(const Shape& shape, int32_t classes) {
    case_.classes = classes;
    return Add(shape, DType::kInt32, Fill::kClasses, false);
  }
  CaseBuilder& Add(const Shape& shape, DType dtype, Fill fill, bool free_layout) {
    case_.op.operands.push_back({shape, dtype, Layout::Plain()});
    case_.fills.push_back(fill);
    case_.free_layout.push_back(free_layout);
    return *this;
  }
  CaseBuilder& MayRefuse(bool may_refuse = true) {
    case_.may_refuse = may_refuse;
    return *this;
  }
  CaseBuilder& Tolerance(double tolerance) {
    case_.tolerance = tolerance;
    return *this;
  }
  CaseBuilder& Forward(OpDescription forward) {
    case_.forward = std::move(forward);
    return *this;
  }
  CaseBuilder& Prepare(std::function<void(std::vector<Tensor>*)> prepare) {
    case_.prepare = std::move(prepare);
    return *this;
  }
  CaseBuilder& KeepAlive(std::shared_ptr<const void> object) {
    case_.keep_alive = std::move(object);
    return *this;
  }
  ConformanceCase Build() const { return case_; }

 private:
  ConformanceCase case_;
};

using ConformanceCases = std::vector<ConformanceCase>;

// One function per family, in conformance/<family>_cases.cc.
void AddAttentionCases(ConformanceCases* cases);
void AddMatMulCases(ConformanceCases* cases);
void AddConvolutionCases(ConformanceCases* cases);
void AddBatchNormCases(ConformanceCases* cases);
void AddLayerNormCases(ConformanceCases* cases);
void AddPoolCases(ConformanceCases* cases);
void AddElementwiseCases(ConformanceCases* cases);
void AddDataMovementCases(ConformanceCases* cases);
void AddLossCases(ConformanceCases* cases);
void AddParameterCases(ConformanceCases* cases);

ConformanceCases AllConformanceCases();

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CONFORMANCE_CONFORMANCE_CASE_H_
