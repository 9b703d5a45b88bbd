#include "worker/model/reshaped_axis.h"

namespace topiary {
namespace {

int64_t Product(const Shape& shape, int begin, int end) {
  int64_t product = 1;
  for (int i = begin; i < end; ++i) product *= shape[i];
  return product;
}

// The last place in `shape` with `before` elements before it, so that axes of extent 1 count as
// before; -1 if there is none.
int PlaceAfter(const Shape& shape, int64_t before) {
  int place = -1;
  int64_t product = 1;
  for (int i = 0; i <= shape.rank(); ++i) {
    if (product == before) place = i;
    if (i < shape.rank()) product *= shape[i];
  }
  return place;
}

}  // namespace

absl::optional<ReshapedBlock> FindReshapedBlock(const Shape& src, int begin, int end,
                                                const Shape& dst) {
  if (src.element_count() == 0 || src.element_count() != dst.element_count()) return absl::nullopt;
  ReshapedBlock block;
  block.src_begin = begin;
  // There are places with nothing before them in both.
  while ((block.dst_begin = PlaceAfter(dst, Product(src, 0, block.src_begin))) < 0) {
    --block.src_begin;
  }
  block.src_end = end;
  block.dst_end = block.dst_begin;
  int64_t in_src = Product(src, block.src_begin, end);
  int64_t in_dst = 1;
  while (in_src != in_dst) {
    in_src < in_dst ? in_src *= src[block.src_end++] : in_dst *= dst[block.dst_end++];
  }
  return block;
}

absl::optional<ReshapedAxis> FindReshapedAxis(const Shape& src, int axis, const Shape& dst,
                                              int skipped) {
  const absl::optional<ReshapedBlock> block = FindReshapedBlock(src, axis, axis + 1, dst);
  if (!block.has_value()) return absl::nullopt;
  ReshapedAxis result;
  if (block->src_begin != axis) {
    const bool is_last = block->src_end == axis + 1 && block->dst_end == block->dst_begin + 1;
    if (!is_last || skipped > 0) return absl::nullopt;
    result.axis = block->dst_begin;
    result.copies = Product(src, block->src_begin, axis);
    return result;
  }
  result.axis = block->dst_begin + skipped;
  if (result.axis >= block->dst_end) return absl::nullopt;
  result.repeats = Product(dst, block->dst_begin, result.axis);
  const int64_t src_inner = Product(src, axis + 1, block->src_end);
  const int64_t dst_inner = Product(dst, result.axis + 1, block->dst_end);
  if (skipped > 0 && src_inner != 1) return absl::nullopt;
  if (dst_inner % src_inner == 0) {
    result.src_per_dst = dst_inner / src_inner;
  } else if (src_inner % dst_inner == 0) {
    result.dst_per_src = src_inner / dst_inner;
  } else {
    return absl::nullopt;
  }
  return result;
}

}  // namespace topiary
