// Where the inputs of a layer's matrices lie in the activations that it reads.
#ifndef TOPIARY_WORKER_ENGINE_LAYER_SAMPLES_H_
#define TOPIARY_WORKER_ENGINE_LAYER_SAMPLES_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/model/graph.h"
#include "worker/model/layers.h"
#include "worker/model/shape_inference.h"

namespace topiary {

// The samples of one node that multiplies with a layer's weight: for each matrix of the layer, rows
// of K inputs. A value type; thread-compatible.
class LayerSamples {
 public:
  // Of node `index` of `graph`. None where the node sees the weight otherwise than the layer
  // does (a weight and its transposition may both be used). INVALID_ARGUMENT, naming the node,
  // where the other operand is not computed from the data.
  static absl::StatusOr<std::optional<LayerSamples>> Of(const Graph& graph,
                                                        const InferredGraph& inferred,
                                                        const PrunableLayer& layer, int index);

  const std::string& activation() const { return activation_; }
  // The same for the same samples of an activation, and only for those.
  std::string Key() const;

  // Calls visit(group, sample) for each sample of the activations of one batch, in an order that
  // does not change; a sample has K numbers and is valid during the call.
  using Visit = std::function<void(int64_t group, absl::Span<const float> sample)>;
  void ForEach(const float* activations, const Visit& visit) const;

 private:
  // Of a matrix product: sample r has x[begin + r * sample_stride + k * input_stride].
  struct Rows {
    int64_t group = 0;
    int64_t begin = 0;
    int64_t count = 0;
    int64_t sample_stride = 0;
    int64_t input_stride = 1;
  };
  // Of a convolution over [examples, channels, height, width], height 1 where there is one axis.
  struct Places {
    int64_t examples = 0;
    int64_t channels = 0;  // Of one group.
    int64_t groups = 1;
    int64_t extent[2] = {1, 1};
    int64_t kernel[2] = {1, 1};
    int64_t stride[2] = {1, 1};
    int64_t dilation[2] = {1, 1};
    int64_t pad[2] = {0, 0};  // Before the first element.
    int64_t places[2] = {1, 1};
  };

  void ForEachRow(const float* x, const Visit& visit) const;
  void ForEachPlace(const float* x, const Visit& visit) const;
  void ReadPlace(const float* image, int64_t y, int64_t x, float* sample) const;
  absl::Status DescribeConvolution(const Node& node, const Shape& src, const PrunableLayer& layer);
  struct Operands {
    Shape activation;
    Shape weight;
    bool inputs_last = true;  // K is the last axis of the activation, else the one before.
  };
  void DescribeProduct(const Operands& operands);

  std::string activation_;
  int64_t inputs_ = 0;  // K.
  bool convolves_ = false;
  std::vector<Rows> rows_;
  Places places_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_LAYER_SAMPLES_H_
