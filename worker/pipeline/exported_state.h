// What would be exported if a training ended now, to be kept while it goes on.
#ifndef TOPIARY_WORKER_PIPELINE_EXPORTED_STATE_H_
#define TOPIARY_WORKER_PIPELINE_EXPORTED_STATE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/engine/parameter_store.h"
#include "worker/prune/method.h"
#include "worker/prune/support.h"

namespace topiary {

// Effective weights and running statistics of `store` as "weights/<name>", and the support of each
// layer of `method` as "support/<layer>", one entry per block.
MethodState SaveExported(const ParameterStore& store, const Method& method);

// Puts such weights and statistics where they are evaluated and exported from; training cannot go
// on after that. INVALID_ARGUMENT, naming the entry, where `state` is not of a store and method
// like these; nothing is changed then.
absl::Status LoadExported(const MethodState& state, const Method& method, ParameterStore* store);

// The support in it of a layer that `state` has.
Support SupportIn(const MethodState& state, const std::string& layer);

// Running statistics of BatchNormalization, to be put back when they have been estimated anew for a
// measurement: training goes on as if they had not.
std::vector<std::vector<float>> SaveStatistics(const ParameterStore& store);
void LoadStatistics(const std::vector<std::vector<float>>& statistics, ParameterStore* store);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_EXPORTED_STATE_H_
