#include "worker/kernels/cpu/onednn_util.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace topiary {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

dnnl::memory::data_type DataTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return dnnl::memory::data_type::f32;
    case DType::kInt32:
      return dnnl::memory::data_type::s32;
    case DType::kInt8:
      return dnnl::memory::data_type::s8;
    case DType::kUint8:
      return dnnl::memory::data_type::u8;
    default:
      CHECK(false) << "oneDNN has no " << DTypeName(dtype);
      return dnnl::memory::data_type::undef;
  }
}

Desc TaggedDesc(const Shape& shape, Tag tag) {
  return Desc(DimsOf(shape), dnnl::memory::data_type::f32, tag);
}

bool IsSinglePixel(const Shape& shape) {
  for (int axis = 2; axis < shape.rank(); ++axis) {
    if (shape[axis] != 1) return false;
  }
  return shape.rank() >= 2;
}

// Whether tensors in `desc` have the bytes of a row-major one.
bool IsRowMajor(const Shape& shape, DType dtype, const Desc& desc) {
  if (desc == PlainDesc(shape, dtype)) return true;
  if (dtype != DType::kFloat32 || !IsSinglePixel(shape)) return false;
  for (int64_t block : {16, 8}) {
    if (shape[1] % block == 0 && desc == ChannelBlockedDesc(shape, block)) return true;
  }
  return desc == ChannelsLastDesc(shape);
}

}  // namespace

bool OneDnnLayout::Equals(const OpaqueLayout& other) const {
  const auto* layout = dynamic_cast<const OneDnnLayout*>(&other);
  return layout != nullptr && desc_ == layout->desc_;
}

std::string OneDnnLayout::ToString() const {
  const dnnl::memory::dims strides = desc_.get_strides(), blocks = desc_.get_inner_blks(),
                           axes = desc_.get_inner_idxs();
  std::string text = "strides";
  for (const auto stride : strides) absl::StrAppend(&text, " ", stride);
  for (size_t i = 0; i < blocks.size(); ++i) {
    absl::StrAppend(&text, ", ", blocks[i], " of axis ", axes[i]);
  }
  return text;
}

absl::Status OneDnnError(const dnnl::error& error, absl::string_view doing) {
  const std::string message = absl::StrCat("oneDNN, ", doing, ": ", error.what());
  switch (error.status) {
    case dnnl_unimplemented:
    case dnnl_invalid_arguments:
      return absl::UnimplementedError(message);
    case dnnl_out_of_memory:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

dnnl::memory::dims DimsOf(const Shape& shape) {
  if (shape.rank() == 0) return {1};
  return dnnl::memory::dims(shape.dims().begin(), shape.dims().end());
}

Desc PlainDesc(const Shape& shape, DType dtype) {
  dnnl::memory::dims strides = {1};
  if (shape.rank() > 0) {
    const Shape::Dims plain = shape.Strides();
    strides.assign(plain.begin(), plain.end());
  }
  return Desc(DimsOf(shape), DataTypeOf(dtype), strides);
}

Desc DescOf(const TensorDescription& description) {
  const Layout& layout = description.layout;
  if (layout.is_any()) {
    return Desc(DimsOf(description.shape), DataTypeOf(description.dtype), Tag::any);
  }
  if (layout.is_plain()) return PlainDesc(description.shape, description.dtype);
  const auto* own = dynamic_cast<const OneDnnLayout*>(layout.opaque());
  CHECK(own != nullptr) << "oneDNN cannot read " << layout.ToString();
  return own->desc();
}

TensorDescription DescribedBy(const Shape& shape, DType dtype, const Desc& desc) {
  if (IsRowMajor(shape, dtype, desc)) return {shape, dtype, Layout::Plain()};
  return {shape, dtype, Layout::Opaque(std::make_shared<OneDnnLayout>(desc))};
}

Desc ChannelBlockedDesc(const Shape& shape, int64_t block) {
  if (shape.rank() == 3) return TaggedDesc(shape, block == 16 ? Tag::nCw16c : Tag::nCw8c);
  if (shape.rank() == 4) return TaggedDesc(shape, block == 16 ? Tag::nChw16c : Tag::nChw8c);
  return Desc();
}

Desc ChannelsLastDesc(const Shape& shape) {
  if (shape.rank() != 3 && shape.rank() != 4) return Desc();
  return TaggedDesc(shape, shape.rank() == 3 ? Tag::nwc : Tag::nhwc);
}

absl::optional<ChannelLayout> ChannelLayoutOf(const TensorDescription& description) {
  if (description.layout.is_any()) return absl::nullopt;
  if (description.layout.is_plain()) return ChannelLayout();
  const Desc desc = DescOf(description);
  const Shape& shape = description.shape;
  if (desc == ChannelsLastDesc(shape)) return ChannelLayout{ChannelLayout::Kind::kLast, 1};
  for (int64_t block : {16, 8}) {
    if (desc == ChannelBlockedDesc(shape, block)) {
      return ChannelLayout{ChannelLayout::Kind::kBlocked, block};
    }
  }
  return absl::nullopt;
}

bool IsPadded(const TensorDescription& description) {
  return static_cast<size_t>(description.shape.element_count()) * SizeOf(description.dtype) !=
         description.bytes();
}

int64_t StoredElements(const TensorDescription& description) {
  return static_cast<int64_t>(description.bytes() / SizeOf(description.dtype));
}

}  // namespace topiary
