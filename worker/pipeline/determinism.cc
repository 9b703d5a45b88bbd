#include "worker/pipeline/determinism.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/version.h"

namespace topiary {

DeterminismKey KeyOf(const BackendInfo& backend, const Program& program,
                     const KernelPlan& measured) {
  DeterminismKey key;
  key.isa = backend.isa;
  key.threads = backend.threads;
  // This program's version stands for what its own code decides: which steps are fused, which
  // products leave pruned blocks out, in which order its own kernels add.
  std::string plan = absl::StrCat("topiary ", kVersion, "\n", backend.name, "\nprecision ",
                                  PrecisionName(backend.precision), "\n");
  for (const auto& [name, version] : backend.versions) {
    if (name == "onednn") key.onednn_version = version;
    absl::StrAppend(&plan, name, " ", version, "\n");
  }
  for (const std::vector<std::string>* steps :
       {&program.statistics().forward_steps, &program.statistics().backward_steps}) {
    for (const std::string& step : *steps) absl::StrAppend(&plan, step, "\n");
    plan += "--\n";
  }
  // Multiples of 0.05, and whole blocks: a difference is one that was measured.
  for (const auto& [weight, density] : measured.break_evens) {
    absl::StrAppend(&plan, "block-sparse ", weight, " from ", density, "\n");
  }
  for (const auto& [weight, sparsity] : measured.sparsities) {
    absl::StrAppend(&plan, "sparsity ", weight, " ", sparsity, "\n");
  }
  if (measured.global_sparsity.has_value()) {
    absl::StrAppend(&plan, "sparsity of all ", *measured.global_sparsity, "\n");
  }
  key.plan_digest = Sha256Hex(plan);
  return key;
}

bool SameKey(const DeterminismKey& a, const DeterminismKey& b) {
  return a.onednn_version == b.onednn_version && a.isa == b.isa && a.threads == b.threads &&
         a.plan_digest == b.plan_digest;
}

}  // namespace topiary
