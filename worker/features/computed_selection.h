#ifndef TOPIARY_WORKER_FEATURES_COMPUTED_SELECTION_H_
#define TOPIARY_WORKER_FEATURES_COMPUTED_SELECTION_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "worker/data/dataset.h"

namespace topiary {

// What a selector has that does not train.
struct SelectionData {
  const Dataset* train = nullptr;
  // Besides the examples; 0: no limit.
  int64_t memory_limit_bytes = 0;
  // Asked between pieces of work; an error from it ends that.
  std::function<absl::Status()> check = [] { return absl::OkStatus(); };
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_COMPUTED_SELECTION_H_
