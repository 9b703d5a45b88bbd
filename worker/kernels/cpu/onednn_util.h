// oneDNN's types and errors, kept inside this folder.
#ifndef TOPIARY_WORKER_KERNELS_CPU_ONEDNN_UTIL_H_
#define TOPIARY_WORKER_KERNELS_CPU_ONEDNN_UTIL_H_

#include <dnnl.hpp>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "worker/kernels/layout.h"

namespace topiary {

// The engine and stream of a backend; copies share them.
struct OneDnnContext {
  dnnl::engine engine;
  dnnl::stream stream;
  int threads = 1;
  int64_t channel_block = 16;  // Channels of a block in the layout that convolutions like best.
  // What the factors of products and convolutions are rounded to before they are multiplied.
  dnnl::memory::data_type factor_type = dnnl::memory::data_type::f32;

  bool rounds_factors() const { return factor_type != dnnl::memory::data_type::f32; }
};

// What oneDNN's kernels read and write.
class OneDnnLayout final : public OpaqueLayout {
 public:
  explicit OneDnnLayout(dnnl::memory::desc desc) : desc_(std::move(desc)) {}

  const dnnl::memory::desc& desc() const { return desc_; }
  size_t bytes() const override { return desc_.get_size(); }
  bool Equals(const OpaqueLayout& other) const override;
  std::string ToString() const override;

 private:
  dnnl::memory::desc desc_;
};

// An error of oneDNN as a Status: UNIMPLEMENTED, RESOURCE_EXHAUSTED or INTERNAL.
absl::Status OneDnnError(const dnnl::error& error, absl::string_view doing);

// Calls `body` and returns its StatusOr; dnnl::error becomes a Status that names `doing`.
template <typename Body>
auto OneDnnTry(absl::string_view doing, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    return OneDnnError(error, doing);
  }
}

dnnl::memory::dims DimsOf(const Shape& shape);

// Row-major; a scalar becomes [1]. float32, int32, uint8 and int8 only (CHECK).
dnnl::memory::desc PlainDesc(const Shape& shape, DType dtype = DType::kFloat32);

// Of a description: the plain or opaque layout, or, for any, format_tag::any.
dnnl::memory::desc DescOf(const TensorDescription& description);

// The description of a tensor that oneDNN laid out as `desc`: plain where that is row-major.
TensorDescription DescribedBy(const Shape& shape, DType dtype, const dnnl::memory::desc& desc);

// Activations of shape [n, c, spatial...] in blocks of `block` channels, or an empty desc
// where the rank is not 3 or 4.
dnnl::memory::desc ChannelBlockedDesc(const Shape& shape, int64_t block);

// The same with the channels last, or an empty desc.
dnnl::memory::desc ChannelsLastDesc(const Shape& shape);

// How the channels of an activation [n, c, ...] lie.
struct ChannelLayout {
  enum class Kind { kPlain, kBlocked, kLast };
  Kind kind = Kind::kPlain;
  int64_t block = 1;  // kBlocked: channels of a block; c is padded with zeros to a multiple.
};

// Nothing where it is another layout than these, or any.
absl::optional<ChannelLayout> ChannelLayoutOf(const TensorDescription& description);

// Whether the layout has elements that belong to no index. They are 0 and must stay so.
bool IsPadded(const TensorDescription& description);

// Elements in memory, padding included.
int64_t StoredElements(const TensorDescription& description);

}  // namespace topiary

#endif  // TOPIARY_WORKER_KERNELS_CPU_ONEDNN_UTIL_H_
