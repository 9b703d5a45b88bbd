// Methods by name. A new method is a file of its own, an entry in MethodOptions, and a line in the
// table of method_registry.cc.
#ifndef TOPIARY_WORKER_PRUNE_METHOD_REGISTRY_H_
#define TOPIARY_WORKER_PRUNE_METHOD_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/prune/ac_dc.h"
#include "worker/prune/budget.h"
#include "worker/prune/group_lasso.h"
#include "worker/prune/iht.h"
#include "worker/prune/magnitude.h"
#include "worker/prune/method.h"
#include "worker/prune/movement.h"
#include "worker/prune/power_propagation.h"
#include "worker/prune/random_pruning.h"
#include "worker/prune/rigl.h"
#include "worker/prune/sequential_attention_pp.h"
#include "worker/prune/snip.h"

namespace topiary {

// Which method, and the options of each; only those of the one named are read.
struct MethodOptions {
  std::string name = "sequential_attention_pp";  // One of MethodNames().
  AcDcOptions ac_dc;
  GroupLassoOptions group_lasso;
  IhtOptions iht;
  MagnitudeOptions magnitude;
  MovementOptions movement;
  PowerPropagationOptions power_propagation;
  RandomPruningOptions random;
  RigLOptions rigl;
  SequentialAttentionPlusPlusOptions sequential_attention_pp;
  SnipOptions snip;
};

std::vector<std::string> MethodNames();

// Whether method `name` prunes, and so needs a target and layers.
bool MethodPrunes(const std::string& name);

// `layers` and `target` are ignored by methods that do not prune.
// INVALID_ARGUMENT for an unknown name, which lists the known ones, and as each method's factory.
absl::StatusOr<std::unique_ptr<Method>> NewMethod(const MethodOptions& options,
                                                  const PruningTarget& target,
                                                  std::vector<MethodLayer> layers,
                                                  int64_t total_steps);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_METHOD_REGISTRY_H_
