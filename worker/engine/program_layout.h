// Lays the memory of a step list out and binds its kernels to it.
#ifndef TOPIARY_WORKER_ENGINE_PROGRAM_LAYOUT_H_
#define TOPIARY_WORKER_ENGINE_PROGRAM_LAYOUT_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/step_list.h"

namespace topiary {

// Owns the memory of the steps that were bound to it.
struct ProgramMemory {
  Buffer arena;
  Buffer scratch;
  std::vector<void*> addresses;  // Of every buffer of the list.
  size_t unshared_bytes = 0;     // What the arena would be, had no two buffers shared memory.
};

// Forward steps are numbered from 0, backward steps follow; a buffer lives from the step that first
// uses it to the one that last does, a pinned one always.
absl::StatusOr<ProgramMemory> LayOutAndBind(Backend* backend, StepList* list);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_PROGRAM_LAYOUT_H_
