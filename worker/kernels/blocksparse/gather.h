// What the taps of a kernel see of an image. No copy of the image is made: a table of pointers says
// it, for a few rows at a time (Dukhan 2019, "The Indirect Convolution Algorithm").
#ifndef TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHER_H_
#define TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHER_H_

#include <cstdint>
#include <vector>

namespace topiary {

// One axis of the images. Of `rows` rows along it, row i sees through tap t the pixel
// i * step + offsets[t] of x, or zeros where that is outside [0, source), and is the pixel
// i * target_step + target_offset of y, which has `target` of them.
struct GatherAxis {
  int64_t rows = 1;
  int64_t source = 1;
  int64_t step = 1;
  std::vector<int64_t> offsets = {0};
  int64_t target = 1;
  int64_t target_step = 1;
  int64_t target_offset = 0;
};

// Images lie one after the other, channels last. Tap (i, j) of the two axes has the number
// i * width.offsets.size() + j.
struct GatherShape {
  int64_t images = 1;
  GatherAxis height;
  GatherAxis width;
  int64_t inputs = 1;   // Channels of x,
  int64_t outputs = 1;  // and of y.

  int64_t taps() const {
    return static_cast<int64_t>(height.offsets.size() * width.offsets.size());
  }
  int64_t rows() const { return images * height.rows * width.rows; }
};

// Rows [first, first + count) of x, whose images are [source height, source width, inputs]:
// table[t * stride + r] becomes where tap t sees row first + r, `zeros` where that is outside.
void FillGatherTable(const GatherShape& shape, const float* x, const float* zeros, int64_t first,
                     int64_t count, int64_t stride, const float** table);

// The same for y, whose images are [target height, target width, outputs]: table[r] becomes where
// row first + r lies.
void FillTargetTable(const GatherShape& shape, float* y, int64_t first, int64_t count,
                     float** table);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_BLOCKSPARSE_GATHER_H_
