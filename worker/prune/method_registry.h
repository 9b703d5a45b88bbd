// All methods. A new one is a file of its own, its options among MethodOptions, and a line in the
// table of method_registry.cc.
#ifndef TOPIARY_WORKER_PRUNE_METHOD_REGISTRY_H_
#define TOPIARY_WORKER_PRUNE_METHOD_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/prune/ac_dc.h"
#include "worker/prune/budget.h"
#include "worker/prune/dense_method.h"
#include "worker/prune/fisher_attention.h"
#include "worker/prune/group_lasso.h"
#include "worker/prune/group_obs.h"
#include "worker/prune/iht.h"
#include "worker/prune/magnitude.h"
#include "worker/prune/method.h"
#include "worker/prune/movement.h"
#include "worker/prune/power_propagation.h"
#include "worker/prune/random_pruning.h"
#include "worker/prune/rigl.h"
#include "worker/prune/sequential_attention_pp.h"
#include "worker/prune/snip.h"
#include "worker/prune/sparsegpt.h"
#include "worker/prune/wanda.h"

namespace topiary {

// Which method, and how.
using MethodOptions =
    std::variant<DenseOptions, AcDcOptions, FisherAttentionOptions, GroupLassoOptions, IhtOptions,
                 MagnitudeOptions, MovementOptions, PowerPropagationOptions, RandomPruningOptions,
                 RigLOptions, SequentialAttentionPlusPlusOptions, SnipOptions, GroupObsOptions,
                 SparseGptOptions, WandaOptions>;

// The name of its field in the spec, such as "magnitude", which is Method::name() too.
absl::string_view RegisteredName(const MethodOptions& options);

// Whether the method prunes, and so needs a target and layers.
bool Prunes(const MethodOptions& options);

// Whether layers of the method may be groups of candidates (MethodLayer::group).
bool PrunesGroups(const MethodOptions& options);

// `layers` and `target` are ignored by methods that do not prune.
// INVALID_ARGUMENT where the target has a structure that the method does not prune; other errors as
// those of each method's factory.
absl::StatusOr<std::unique_ptr<Method>> NewMethod(const MethodOptions& options,
                                                  const PruningTarget& target,
                                                  std::vector<MethodLayer> layers,
                                                  int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_METHOD_REGISTRY_H_
