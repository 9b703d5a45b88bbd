#include "worker/engine/program_layout.h"

#include <algorithm>

#include "common/status_macros.h"
#include "worker/engine/memory_plan.h"

namespace topiary {
namespace {

// Calls visit(step number, step) for forward and backward steps.
template <typename Visit>
void ForEachNumberedStep(StepList* list, Visit visit) {
  int number = 0;
  for (Step& step : list->forward) visit(number++, step);
  for (Step& step : list->backward) visit(number++, step);
}

// Requests of the buffers that need a place in the arena; `places[i]` is the buffer of request i.
struct ArenaRequests {
  std::vector<MemoryRequest> requests;
  std::vector<int> request_of;  // Of every buffer, -1 if none.
};

ArenaRequests CollectRequests(StepList* list) {
  const int count = static_cast<int>(list->buffers.size());
  const int end = static_cast<int>(list->forward.size() + list->backward.size());
  std::vector<int> first(count, end), last(count, -1);
  ForEachNumberedStep(list, [&](int number, const Step& step) {
    for (int buffer : step.buffers) {
      first[buffer] = std::min(first[buffer], number);
      last[buffer] = std::max(last[buffer], number);
    }
  });
  ArenaRequests result;
  result.request_of.assign(count, -1);
  for (int i = 0; i < count; ++i) {
    const BufferInfo& buffer = list->buffers[i];
    if (buffer.external != nullptr) continue;
    if (last[i] < 0 && !buffer.pinned) continue;  // Never used.
    result.request_of[i] = static_cast<int>(result.requests.size());
    result.requests.push_back(buffer.pinned ? MemoryRequest{buffer.bytes, 0, end}
                                            : MemoryRequest{buffer.bytes, first[i], last[i]});
  }
  return result;
}

// A read operand may be overwritten only if the step reads that buffer once.
std::vector<InPlaceRequest> CollectInPlace(StepList* list, const ArenaRequests& arena) {
  std::vector<InPlaceRequest> result;
  ForEachNumberedStep(list, [&](int number, const Step& step) {
    for (const InPlacePair& pair : InPlaceOperands(step.op)) {
      const int read = step.buffers[pair.read];
      const int written = step.buffers[pair.written];
      const bool once = std::count(step.buffers.begin(), step.buffers.end(), read) == 1;
      if (!once || arena.request_of[read] < 0 || arena.request_of[written] < 0) continue;
      result.push_back({number, arena.request_of[read], arena.request_of[written]});
      // One of two results may take over one of two gradients, not each.
      if (step.op.kind == OpKind::kBatchNormBackward) break;
    }
  });
  return result;
}

void Bind(Step* step, const std::vector<void*>& addresses, void* scratch) {
  std::vector<void*> operands;
  for (int buffer : step->buffers) operands.push_back(addresses[buffer]);
  step->kernel->Bind(operands, scratch);
}

}  // namespace

absl::StatusOr<ProgramMemory> LayOutAndBind(Backend* backend, StepList* list) {
  const ArenaRequests arena = CollectRequests(list);
  const MemoryPlan plan = PlanMemory(arena.requests, CollectInPlace(list, arena));
  ProgramMemory memory;
  ASSIGN_OR_RETURN(memory.arena, backend->Allocate(plan.arena_bytes));
  char* base = static_cast<char*>(memory.arena.data());
  for (size_t i = 0; i < list->buffers.size(); ++i) {
    const int request = arena.request_of[i];
    memory.addresses.push_back(request < 0 ? list->buffers[i].external
                                           : base + plan.offsets[request]);
    if (request >= 0) memory.unshared_bytes += (list->buffers[i].bytes + 63) / 64 * 64;
  }
  size_t scratch_bytes = 0;
  for (const std::vector<Step>* steps : {&list->weights, &list->forward, &list->backward}) {
    for (const Step& step : *steps) {
      scratch_bytes = std::max(scratch_bytes, step.kernel->scratch_bytes());
    }
  }
  ASSIGN_OR_RETURN(memory.scratch, backend->Allocate(scratch_bytes));
  for (std::vector<Step>* steps : {&list->weights, &list->forward, &list->backward}) {
    for (Step& step : *steps) Bind(&step, memory.addresses, memory.scratch.data());
  }
  return memory;
}

}  // namespace topiary
