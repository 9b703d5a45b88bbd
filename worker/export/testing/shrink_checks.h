// Checks that a network computes the same after Shrink(). Tests only.
#ifndef TOPIARY_WORKER_EXPORT_TESTING_SHRINK_CHECKS_H_
#define TOPIARY_WORKER_EXPORT_TESTING_SHRINK_CHECKS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "worker/export/shrink.h"
#include "worker/model/graph.h"
#include "worker/tensor/shape.h"

namespace topiary {

constexpr int64_t kShrinkExamples = 3;

// Of `examples` random ones.
std::vector<float> OutputsOf(const Graph& graph, int64_t examples = kShrinkExamples);

// Shrinks `graph`; expects that it computes the same afterwards but for 1e-5 of an output or of 1,
// also for another batch.
ShrunkModel ShrunkAndEqual(const Graph& graph);

// Of an initializer; [-1] if there is none of this name.
Shape ShapeOf(const ShrunkModel& model, const std::string& name);

// Sets the elements at `index` along `axis` of an initializer to 0.
void ClearSlice(Graph* graph, const std::string& name, int axis, int64_t index);

}  // namespace topiary

#endif  // TOPIARY_WORKER_EXPORT_TESTING_SHRINK_CHECKS_H_
