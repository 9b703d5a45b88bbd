#include "worker/kernels/simd/parallel.h"

#include <gtest/gtest.h>

#include <vector>

namespace topiary {
namespace {

struct SplitCase {
  int64_t n;
  int64_t multiple;
  int parts;
};

class PartOfTest : public testing::TestWithParam<SplitCase> {};

TEST_P(PartOfTest, PartsAreAdjacentAndCoverEverything) {
  const auto [n, multiple, parts] = GetParam();
  int64_t next = 0;
  for (int i = 0; i < parts; ++i) {
    const Range range = PartOf(n, multiple, i, parts);
    EXPECT_EQ(range.begin, next);
    EXPECT_LE(range.begin, range.end);
    if (range.end < n) {
      EXPECT_EQ(range.end % multiple, 0);
    }
    next = range.end;
  }
  EXPECT_EQ(next, n);
}

INSTANTIATE_TEST_SUITE_P(Splits, PartOfTest,
                         testing::Values(SplitCase{0, 1, 2}, SplitCase{1, 16, 2},
                                         SplitCase{17, 16, 2}, SplitCase{100, 1, 3},
                                         SplitCase{1000, 16, 7}, SplitCase{5, 1, 8}));

TEST(ParallelFor, VisitsEveryItemOnceWhateverTheTeam) {
  for (const int threads : {1, 2, 3}) {
    for (const int64_t n : {0, 1, 10, 1000}) {
      std::vector<int> visits(static_cast<size_t>(n), 0);
      ParallelFor(threads, n, 4, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) ++visits[i];
      });
      EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 1));
    }
  }
}

TEST(ParallelFor, StaysOnTheCallingThreadWhereThereIsLittleToDo) {
  int parts = 0;
  ParallelFor(2, 7, 4, 1, [&](int64_t begin, int64_t end, int part) {
    ++parts;
    EXPECT_EQ(begin, 0);
    EXPECT_EQ(end, 7);
    EXPECT_EQ(part, 0);
  });
  EXPECT_EQ(parts, 1);
}

TEST(UseThreads, OverridesWhatTheCallerHadSet) {
  omp_set_num_threads(5);
  omp_set_dynamic(1);
  UseThreads(2);
  EXPECT_EQ(omp_get_max_threads(), 2);
  EXPECT_EQ(omp_get_dynamic(), 0);
}

}  // namespace
}  // namespace topiary
