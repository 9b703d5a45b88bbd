#include "worker/engine/memory_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/random.h"

namespace topiary {
namespace {

bool MeetInTime(const MemoryRequest& a, const MemoryRequest& b) {
  return a.first <= b.last && b.first <= a.last;
}

bool MeetInSpace(size_t a, size_t a_bytes, size_t b, size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

// Pairs that may share memory although both live in one step: the step that writes one over the
// other.
using Allowed = std::set<std::pair<int, int>>;

void ExpectNoOverlap(const std::vector<MemoryRequest>& requests, const MemoryPlan& plan,
                     const Allowed& allowed) {
  ASSERT_EQ(plan.offsets.size(), requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(plan.offsets[i] % 64, 0u);
    EXPECT_LE(plan.offsets[i] + requests[i].bytes, plan.arena_bytes);
    for (size_t j = 0; j < i; ++j) {
      if (!MeetInTime(requests[i], requests[j])) continue;
      const bool overlap =
          MeetInSpace(plan.offsets[i], requests[i].bytes, plan.offsets[j], requests[j].bytes);
      EXPECT_FALSE(overlap && allowed.count({j, i}) == 0 && allowed.count({i, j}) == 0)
          << "requests " << j << " and " << i;
    }
  }
}

TEST(MemoryPlan, BuffersThatDoNotMeetShareMemory) {
  const std::vector<MemoryRequest> requests = {{100, 0, 1}, {100, 2, 3}, {100, 4, 5}};
  const MemoryPlan plan = PlanMemory(requests, {});
  EXPECT_EQ(plan.arena_bytes, 128u);
}

TEST(MemoryPlan, BuffersThatMeetInOneStepDoNot) {
  const std::vector<MemoryRequest> requests = {{64, 0, 2}, {64, 2, 3}};
  EXPECT_EQ(PlanMemory(requests, {}).arena_bytes, 128u);
}

TEST(MemoryPlan, AResultTakesOverTheOperandThatDiesThere) {
  const std::vector<MemoryRequest> requests = {{64, 0, 2}, {64, 2, 3}, {64, 3, 4}};
  const MemoryPlan plan = PlanMemory(requests, {{2, 0, 1}, {3, 1, 2}});
  EXPECT_EQ(plan.arena_bytes, 64u);
  EXPECT_EQ(plan.offsets[0], plan.offsets[2]);
}

TEST(MemoryPlan, AnOperandThatIsReadLaterIsNotOverwritten) {
  const std::vector<MemoryRequest> requests = {{64, 0, 5}, {64, 2, 3}};
  EXPECT_EQ(PlanMemory(requests, {{2, 0, 1}}).arena_bytes, 128u);
}

TEST(MemoryPlan, OneOperandIsTakenOverOnce) {
  const std::vector<MemoryRequest> requests = {{64, 0, 2}, {64, 2, 3}, {64, 2, 3}};
  const MemoryPlan plan = PlanMemory(requests, {{2, 0, 1}, {2, 0, 2}});
  EXPECT_EQ(plan.arena_bytes, 128u);
  EXPECT_NE(plan.offsets[1], plan.offsets[2]);
}

TEST(MemoryPlan, ALargerResultDoesNotFit) {
  const std::vector<MemoryRequest> requests = {{64, 0, 2}, {128, 2, 3}};
  EXPECT_NE(PlanMemory(requests, {{2, 0, 1}}).arena_bytes, 64u);
}

TEST(MemoryPlan, NothingNeedsNothing) {
  EXPECT_EQ(PlanMemory({}, {}).arena_bytes, 0u);
  const std::vector<MemoryRequest> empty = {{0, 0, 1}, {0, 0, 1}};
  EXPECT_EQ(PlanMemory(empty, {}).arena_bytes, 0u);
}

// A random program: each step reads some earlier values and writes one or two new ones, which may
// take over what the step reads.
struct RandomProgram {
  explicit RandomProgram(uint64_t seed) {
    Random random(seed, kStreamTest, 0);
    const int steps = 3 + static_cast<int>(random.Below(60));
    for (int step = 0; step < steps; ++step) {
      std::vector<int> reads;
      for (uint64_t i = 0; i < random.Below(4) && !requests.empty(); ++i) {
        const int read = static_cast<int>(random.Below(requests.size()));
        if (requests[read].first == step) continue;
        requests[read].last = std::max(requests[read].last, step);
        reads.push_back(read);
      }
      for (uint64_t i = 0; i <= random.Below(2); ++i) {
        const int written = static_cast<int>(requests.size());
        requests.push_back({64 * random.Below(40), step, step});
        for (int read : reads) in_place.push_back({step, read, written});
      }
    }
  }
  std::vector<MemoryRequest> requests;
  std::vector<InPlaceRequest> in_place;
};

class RandomMemoryPlan : public testing::TestWithParam<int> {};

// Runs the program in the planned memory: each value is a pattern that must still be there at its
// last use.
TEST_P(RandomMemoryPlan, KeepsEveryValueUntilItsLastUse) {
  for (uint64_t variant = 0; variant < 20; ++variant) {
    const RandomProgram program(static_cast<uint64_t>(GetParam()) * 1000 + variant);
    const MemoryPlan plan = PlanMemory(program.requests, program.in_place);
    Allowed allowed;
    for (const InPlaceRequest& pair : program.in_place) allowed.insert({pair.read, pair.written});
    ExpectNoOverlap(program.requests, plan, allowed);
    std::vector<int> memory(plan.arena_bytes / 64, -1);
    const int count = static_cast<int>(program.requests.size());
    const auto holds = [&](int i) {
      const auto begin = memory.begin() + static_cast<int64_t>(plan.offsets[i] / 64);
      return std::all_of(begin, begin + static_cast<int64_t>(program.requests[i].bytes / 64),
                         [i](int owner) { return owner == i; });
    };
    const int steps = program.requests.back().first + 1;
    for (int step = 0; step < steps; ++step) {
      for (int i = 0; i < count; ++i) {
        const MemoryRequest& request = program.requests[i];
        if (request.first < step && request.last >= step) {
          EXPECT_TRUE(holds(i)) << i;
        }
      }
      for (int i = 0; i < count; ++i) {
        if (program.requests[i].first != step) continue;
        std::fill_n(memory.begin() + static_cast<int64_t>(plan.offsets[i] / 64),
                    program.requests[i].bytes / 64, i);
      }
      for (int i = 0; i < count; ++i) {
        if (program.requests[i].first == step) {
          EXPECT_TRUE(holds(i)) << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomMemoryPlan, testing::Range(0, 5));

TEST(MemoryPlan, IsTheSameEveryTime) {
  const RandomProgram program(7);
  EXPECT_EQ(PlanMemory(program.requests, program.in_place).offsets,
            PlanMemory(program.requests, program.in_place).offsets);
}

}  // namespace
}  // namespace topiary
