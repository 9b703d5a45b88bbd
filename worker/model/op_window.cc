// Windows of convolution and pooling: ReadConv() and ReadPool().
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/model/op_params.h"

namespace topiary {
namespace {

// Far above any real window, low enough that no sum or product below overflows.
constexpr int64_t kMaxExtent = int64_t{1} << 31;

absl::StatusOr<std::vector<int64_t>> PerAxis(const Node& node, absl::string_view name, size_t count,
                                             int64_t fallback, int64_t minimum) {
  ASSIGN_OR_RETURN(std::vector<int64_t> values,
                   IntsAttribute(node, name, std::vector<int64_t>(count, fallback)));
  if (values.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("attribute '", name, "' has ", values.size(),
                                                   " entries; ", count, " are needed"));
  }
  for (int64_t v : values) {
    if (v < minimum || v > kMaxExtent) {
      return absl::InvalidArgumentError(absl::StrCat("attribute '", name, "' [",
                                                     absl::StrJoin(values, ","), "] has an entry ",
                                                     "outside [", minimum, ", 2^31]"));
    }
  }
  return values;
}

absl::Status CheckSpatialRank(const Shape& src) {
  if (src.rank() == 3 || src.rank() == 4) {
    for (int64_t d : src.dims()) {
      if (d > kMaxExtent) {
        return absl::InvalidArgumentError(absl::StrCat("src ", src.ToString(), " is too large"));
      }
    }
    return absl::OkStatus();
  }
  if (src.rank() < 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("src ", src.ToString(), " has no spatial axis; [n,c,l] or [n,c,h,w] needed"));
  }
  return absl::UnimplementedError(absl::StrCat("src ", src.ToString(),
                                               " has more than two spatial axes; one or two are "
                                               "supported"));
}

// Extent that a dilated kernel covers.
int64_t Reach(int64_t kernel, int64_t dilation) { return (kernel - 1) * dilation + 1; }

absl::Status SetPads(const Node& node, const Shape& src, Window& window) {
  ASSIGN_OR_RETURN(const std::string auto_pad, StringAttribute(node, "auto_pad", "NOTSET"));
  const size_t axes = window.kernel.size();
  if (auto_pad == "NOTSET" || auto_pad.empty()) {
    ASSIGN_OR_RETURN(const std::vector<int64_t> pads, PerAxis(node, "pads", 2 * axes, 0, 0));
    window.pads_begin.assign(pads.begin(), pads.begin() + axes);
    window.pads_end.assign(pads.begin() + axes, pads.end());
    return absl::OkStatus();
  }
  window.pads_begin.assign(axes, 0);
  window.pads_end.assign(axes, 0);
  if (auto_pad == "VALID") return absl::OkStatus();
  if (auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER") {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute 'auto_pad' is '", auto_pad,
                     "'; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID"));
  }
  for (size_t i = 0; i < axes; ++i) {
    const int64_t extent = src[static_cast<int>(i) + 2];
    const int64_t windows = (extent + window.strides[i] - 1) / window.strides[i];
    const int64_t covered =
        (windows - 1) * window.strides[i] + Reach(window.kernel[i], window.dilations[i]);
    const int64_t total = std::max<int64_t>(0, covered - extent);
    const int64_t smaller = total / 2;
    window.pads_begin[i] = auto_pad == "SAME_UPPER" ? smaller : total - smaller;
    window.pads_end[i] = total - window.pads_begin[i];
  }
  return absl::OkStatus();
}

// Sets dst_spatial, and with `ceil_mode` lengthens pads_end to what the last
// window reaches.
absl::Status SetExtents(const Shape& src, bool ceil_mode, Window& window) {
  for (size_t i = 0; i < window.kernel.size(); ++i) {
    const int64_t extent = src[static_cast<int>(i) + 2];
    const int64_t padded = extent + window.pads_begin[i] + window.pads_end[i];
    const int64_t reach = Reach(window.kernel[i], window.dilations[i]);
    if (padded < reach) {
      return absl::InvalidArgumentError(
          absl::StrCat("a window of ", reach, " does not fit in spatial axis ", i, " of src ",
                       src.ToString(), " padded to ", padded));
    }
    const int64_t stride = window.strides[i];
    int64_t windows = (padded - reach) / stride + 1;
    if (ceil_mode && (padded - reach) % stride != 0) {
      // A window that would start in the end padding is dropped, as ONNX and PyTorch do.
      if (windows * stride < extent + window.pads_begin[i]) ++windows;
    }
    const int64_t missing = (windows - 1) * stride + reach - padded;
    if (missing > 0) window.pads_end[i] += missing;
    window.dst_spatial.push_back(windows);
  }
  return absl::OkStatus();
}

absl::Status CheckKernelShape(const Node& node, const Window& window) {
  if (node.FindAttribute("kernel_shape") == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<int64_t> stated, IntsAttribute(node, "kernel_shape", {}));
  if (stated != window.kernel) {
    return absl::InvalidArgumentError(
        absl::StrCat("attribute 'kernel_shape' [", absl::StrJoin(stated, ","),
                     "] is not that of the weights, [", absl::StrJoin(window.kernel, ","), "]"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConvParams> ReadConv(const Node& node, const Shape& src, const Shape& weights) {
  RETURN_IF_ERROR(CheckSpatialRank(src));
  if (weights.rank() != src.rank()) {
    return absl::InvalidArgumentError(absl::StrCat("weights ", weights.ToString(), " and src ",
                                                   src.ToString(), " differ in rank"));
  }
  ConvParams params;
  ASSIGN_OR_RETURN(params.group, IntAttribute(node, "group", 1));
  const int64_t group = params.group;
  if (group < 1 || weights[0] % group != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "attribute 'group' is ", group, "; it must divide the ", weights[0], " output channels"));
  }
  if (src[1] % group != 0 || src[1] / group != weights[1]) {
    return absl::InvalidArgumentError(absl::StrCat("weights ", weights.ToString(), " in ", group,
                                                   " groups do not fit the ", src[1],
                                                   " channels of src ", src.ToString()));
  }
  const size_t axes = static_cast<size_t>(src.rank()) - 2;
  Window& window = params.window;
  window.kernel.assign(weights.dims().begin() + 2, weights.dims().end());
  if (*std::min_element(window.kernel.begin(), window.kernel.end()) < 1 ||
      *std::max_element(window.kernel.begin(), window.kernel.end()) > kMaxExtent) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights ", weights.ToString(), " have an impossible kernel"));
  }
  RETURN_IF_ERROR(CheckKernelShape(node, window));
  ASSIGN_OR_RETURN(window.strides, PerAxis(node, "strides", axes, 1, 1));
  ASSIGN_OR_RETURN(window.dilations, PerAxis(node, "dilations", axes, 1, 1));
  RETURN_IF_ERROR(SetPads(node, src, window));
  RETURN_IF_ERROR(SetExtents(src, /*ceil_mode=*/false, window));
  return params;
}

absl::StatusOr<PoolParams> ReadPool(const Node& node, const Shape& src) {
  RETURN_IF_ERROR(CheckSpatialRank(src));
  const size_t axes = static_cast<size_t>(src.rank()) - 2;
  if (node.FindAttribute("kernel_shape") == nullptr) {
    return absl::InvalidArgumentError("attribute 'kernel_shape' is missing");
  }
  PoolParams params;
  Window& window = params.window;
  ASSIGN_OR_RETURN(window.kernel, PerAxis(node, "kernel_shape", axes, 1, 1));
  ASSIGN_OR_RETURN(window.strides, PerAxis(node, "strides", axes, 1, 1));
  ASSIGN_OR_RETURN(window.dilations, PerAxis(node, "dilations", axes, 1, 1));
  ASSIGN_OR_RETURN(const int64_t ceil_mode, IntAttribute(node, "ceil_mode", 0));
  ASSIGN_OR_RETURN(const int64_t include, IntAttribute(node, "count_include_pad", 0));
  params.count_include_pad = include != 0;
  RETURN_IF_ERROR(SetPads(node, src, window));
  for (size_t i = 0; i < axes; ++i) {
    // Else a window could lie wholly in the padding, where neither a maximum nor a mean exists.
    const int64_t reach = Reach(window.kernel[i], window.dilations[i]);
    if (window.pads_begin[i] >= reach || window.pads_end[i] >= reach) {
      return absl::InvalidArgumentError(
          absl::StrCat("attribute 'pads' is not smaller than the window of ", reach));
    }
  }
  params.explicit_pads_end = window.pads_end;
  RETURN_IF_ERROR(SetExtents(src, ceil_mode != 0, window));
  return params;
}

}  // namespace topiary
