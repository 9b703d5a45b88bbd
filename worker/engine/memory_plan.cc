#include "worker/engine/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "common/check.h"

namespace topiary {
namespace {

constexpr size_t kAlignment = 64;

size_t RoundUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Requests that share memory one after the other, as one.
struct Chain {
  size_t bytes;
  int first;
  int last;
  size_t offset = 0;

  bool MeetsInTime(const Chain& other) const { return first <= other.last && other.first <= last; }
};

// chain_of[i] is the request that starts the chain of request i.
std::vector<int> JoinInPlace(absl::Span<const MemoryRequest> requests,
                             absl::Span<const InPlaceRequest> in_place,
                             std::vector<Chain>* chains) {
  std::vector<int> chain_of(requests.size());
  std::iota(chain_of.begin(), chain_of.end(), 0);
  std::vector<bool> taken(requests.size(), false);
  for (const InPlaceRequest& pair : in_place) {
    const MemoryRequest& read = requests[pair.read];
    const MemoryRequest& written = requests[pair.written];
    const bool joined = chain_of[pair.written] != pair.written;
    if (taken[pair.read] || taken[pair.written] || joined || read.last != pair.step ||
        written.first != pair.step || written.bytes > read.bytes) {
      continue;
    }
    taken[pair.read] = true;
    const int chain = chain_of[pair.read];
    chain_of[pair.written] = chain;
    (*chains)[chain].last = written.last;
  }
  return chain_of;
}

// The lowest place where `chain` meets none of `placed` (sorted by offset) in time and space.
size_t LowestFit(const Chain& chain, const std::vector<Chain>& placed) {
  size_t offset = 0;
  for (const Chain& other : placed) {
    if (!chain.MeetsInTime(other)) continue;
    if (offset + chain.bytes <= other.offset) break;
    offset = std::max(offset, other.offset + other.bytes);
  }
  return offset;
}

}  // namespace

MemoryPlan PlanMemory(absl::Span<const MemoryRequest> requests,
                      absl::Span<const InPlaceRequest> in_place) {
  std::vector<Chain> chains;
  for (const MemoryRequest& request : requests) {
    CHECK_LE(request.first, request.last);
    chains.push_back({RoundUp(request.bytes), request.first, request.last});
  }
  const std::vector<int> chain_of = JoinInPlace(requests, in_place, &chains);

  std::vector<int> order;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (chain_of[i] == static_cast<int>(i)) order.push_back(static_cast<int>(i));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return chains[a].bytes > chains[b].bytes; });

  MemoryPlan plan;
  std::vector<Chain> placed;
  for (int i : order) {
    Chain& chain = chains[i];
    chain.offset = LowestFit(chain, placed);
    plan.arena_bytes = std::max(plan.arena_bytes, chain.offset + chain.bytes);
    const auto place =
        std::upper_bound(placed.begin(), placed.end(), chain.offset,
                         [](size_t offset, const Chain& other) { return offset < other.offset; });
    placed.insert(place, chain);
  }
  for (int chain : chain_of) plan.offsets.push_back(chains[chain].offset);
  return plan;
}

}  // namespace topiary
