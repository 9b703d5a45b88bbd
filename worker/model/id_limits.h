#ifndef TOPIARY_WORKER_MODEL_ID_LIMITS_H_
#define TOPIARY_WORKER_MODEL_ID_LIMITS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/model/graph.h"

namespace topiary {

// What the int64 inputs of `graph` may hold. For each of them one number per element of an example:
// ids there must lie in [0, number), since they pick rows of a table that long, by a Gather that
// the element reaches; INT64_MAX where nothing reads it. Of several tables the shortest counts.
//
// Errors as those of InferShapes(); UNIMPLEMENTED, naming the node, where a Gather's indices are
// picked from the data by other indices from the data, or looked up in a table; INVALID_ARGUMENT
// where constant indices lie outside their table; RESOURCE_EXHAUSTED where all values that hold an
// example's ids have more than kMaxFoldedElements elements.
absl::StatusOr<std::map<std::string, std::vector<int64_t>>> FindIdLimits(const Graph& graph);

}  // namespace topiary

#endif  // TOPIARY_WORKER_MODEL_ID_LIMITS_H_
