#ifndef TOPIARY_WORKER_PRUNE_GLOB_H_
#define TOPIARY_WORKER_PRUNE_GLOB_H_

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// Whether the whole of `text` matches `pattern`, in which "*" stands for any characters, none
// included, "?" for one, and everything else for itself. Time at most |pattern| * |text|, whatever
// the pattern. Thread-safe.
bool GlobMatches(absl::string_view pattern, absl::string_view text);

// Matches patterns against the layers of a model, which may both be so many and so long that it
// takes hours: `check` is asked every now and then, and an error of it ends the matching. One
// thread at a time.
class LayerMatcher {
 public:
  explicit LayerMatcher(std::function<absl::Status()> check) : check_(std::move(check)) {}

  // Whether `pattern` is of the name of the weight or of the node, which may be empty. Errors of
  // `check`.
  absl::StatusOr<bool> Matches(absl::string_view pattern, absl::string_view weight,
                               absl::string_view node);

  const std::function<absl::Status()>& check() const { return check_; }

 private:
  const std::function<absl::Status()> check_;
  int64_t steps_ = 0;  // At most, since it was asked last.
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_GLOB_H_
