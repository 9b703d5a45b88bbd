#include "worker/kernels/cpu/block_chunks.h"

#include <gtest/gtest.h>

#include <string>

#include "worker/kernels/cpu/simd_kernels.h"

namespace topiary {
namespace {

// A row-major matrix cut in blocks of `rows` x `cols`.
std::shared_ptr<const BlockRuns> MatrixRuns(int64_t height, int64_t width, int64_t rows,
                                            int64_t cols) {
  auto runs = std::make_shared<BlockRuns>();
  const int64_t across = (width + cols - 1) / cols;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; x += cols) {
      const auto length = static_cast<int32_t>(std::min(cols, width - x));
      runs->runs.push_back(
          {y * width + x, length, 1, static_cast<int32_t>(y / rows * across + x / cols)});
    }
  }
  runs->block_count = (height + rows - 1) / rows * across;
  return runs;
}

// A convolution [m, c, 3, 3] in blocks of `rows` input channels at one place of the kernel.
std::shared_ptr<const BlockRuns> ConvolutionRuns(int64_t m, int64_t c, int64_t rows, int64_t cols) {
  auto runs = std::make_shared<BlockRuns>();
  const int64_t groups = c / rows, across = (m + cols - 1) / cols;
  for (int64_t o = 0; o < m; ++o) {
    for (int64_t group = 0; group < groups; ++group) {
      for (int64_t place = 0; place < 9; ++place) {
        const int64_t block_row = place * groups + group;
        runs->runs.push_back({(o * c + group * rows) * 9 + place, static_cast<int32_t>(rows), 9,
                              static_cast<int32_t>(block_row * across + o / cols)});
      }
    }
  }
  runs->block_count = 9 * groups * across;
  return runs;
}

struct ChunksCase {
  std::string name;
  std::shared_ptr<const BlockRuns> runs;
  int64_t elements;
  int64_t unlike;  // Chunks not like the one before.
};

class BlockChunksTest : public testing::TestWithParam<ChunksCase> {};

TEST_P(BlockChunksTest, ChunksAreAdjacentAndNoRunIsCut) {
  const BlockChunks chunks(GetParam().runs);
  int64_t next_run = 0, next_element = 0;
  for (int64_t i = 0; i < chunks.size(); ++i) {
    const BlockChunk& chunk = chunks.at(i);
    EXPECT_EQ(chunk.first_run, next_run);
    EXPECT_EQ(chunk.begin, next_element);
    int64_t covered = 0;
    for (int64_t r = chunk.first_run; r < chunk.last_run; ++r) {
      const BlockRun& run = chunks.runs().runs[r];
      EXPECT_GE(run.offset, chunk.begin);
      EXPECT_LT(run.offset + int64_t{run.length - 1} * run.stride, chunk.end);
      covered += run.length;
    }
    EXPECT_EQ(covered, chunk.end - chunk.begin);
    EXPECT_LE(covered + kExpandSlack, chunks.array_size());
    next_run = chunk.last_run;
    next_element = chunk.end;
  }
  EXPECT_EQ(next_run, static_cast<int64_t>(GetParam().runs->runs.size()));
  EXPECT_EQ(next_element, GetParam().elements);
}

TEST_P(BlockChunksTest, RowsOfTheSameBlocksAreAlike) {
  const BlockChunks chunks(GetParam().runs);
  int64_t unlike = 0;
  for (int64_t i = 0; i < chunks.size(); ++i) unlike += chunks.at(i).like_previous ? 0 : 1;
  EXPECT_EQ(unlike, GetParam().unlike);
}

INSTANTIATE_TEST_SUITE_P(Weights, BlockChunksTest,
                         testing::Values(
                             // One chunk per row of blocks has to be made anew.
                             ChunksCase{"Matrix", MatrixRuns(64, 512, 16, 16), 64 * 512, 4},
                             ChunksCase{"RaggedMatrix", MatrixRuns(67, 784, 16, 16), 67 * 784, 5},
                             ChunksCase{"Convolution", ConvolutionRuns(32, 64, 16, 16), 32 * 64 * 9,
                                        2},
                             // Rows too short to be chunks: cut by size, all different or few.
                             ChunksCase{"NarrowMatrix", MatrixRuns(300, 10, 4, 4), 3000, 2},
                             // Every row has blocks of its own.
                             ChunksCase{"RowBlocks", MatrixRuns(8, 4096, 1, 8), 8 * 4096, 16},
                             ChunksCase{"SingleBlock", MatrixRuns(1, 5, 4, 8), 5, 1}),
                         [](const auto& info) { return info.param.name; });

TEST(BlockChunks, NoRunsMakeNoChunks) {
  const BlockChunks chunks(std::make_shared<BlockRuns>());
  EXPECT_EQ(chunks.size(), 0);
  EXPECT_GE(chunks.Grain(100), 1);
}

}  // namespace
}  // namespace topiary
