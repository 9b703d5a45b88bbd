#ifndef TOPIARY_WORKER_PRUNE_GLOB_H_
#define TOPIARY_WORKER_PRUNE_GLOB_H_

#include "absl/strings/string_view.h"

namespace topiary {

// Whether the whole of `text` matches `pattern`, in which "*" stands for any characters, none
// included, "?" for one, and everything else for itself. Time at most |pattern| * |text|, whatever
// the pattern. Thread-safe.
bool GlobMatches(absl::string_view pattern, absl::string_view text);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_GLOB_H_
