#ifndef TOPIARY_CLIENT_MODEL_ZOO_NETWORK_BUILDER_H_
#define TOPIARY_CLIENT_MODEL_ZOO_NETWORK_BUILDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace topiary {

// One value of the network under construction. `shape` is that of one sample: the batch axis,
// which comes first and is dynamic, is left out. Images are [channels, height, width].
struct NetworkValue {
  std::string name;
  std::vector<int64_t> shape;
};

// A square convolution without bias: a BatchNorm follows it.
struct ConvolutionShape {
  int64_t out_channels = 0;
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t pad = 0;
  bool bias = false;
};

// Writes a feed-forward network as an ONNX model (opset 17, IR 8), one layer at a time. Parameters
// are named as PyTorch's `state_dict()` names them ("layer1.0.conv1.weight", "bn1.running_mean"),
// weights of linear layers lie [out, in].
//
// Initial weights follow He et al. (2015), normal with variance 2 / fan_in, as layers are followed
// by ReLU; biases start at 0. Each parameter draws from its own random stream, keyed by the seed
// and the order of its creation, so the same calls give the same bytes everywhere.
//
// The first error is kept and returned by Finish(); later calls do nothing.
// Not thread-safe.
class NetworkBuilder {
 public:
  // `sample_shape`: the shape of one input sample, all extents positive.
  NetworkBuilder(absl::string_view name, absl::Span<const int64_t> sample_shape, uint64_t seed);
  ~NetworkBuilder();
  NetworkBuilder(const NetworkBuilder&) = delete;
  NetworkBuilder& operator=(const NetworkBuilder&) = delete;

  // The model's only input, named "input".
  NetworkValue Input() const;

  // `src` is an image. Parameters: `layer`.weight [out, in, kernel, kernel] and, if asked,
  // `layer`.bias.
  NetworkValue Convolution(absl::string_view layer, const NetworkValue& src,
                           const ConvolutionShape& conv);
  // Inference form: scale 1, shift 0, mean 0, variance 1, epsilon 1e-5.
  NetworkValue BatchNorm(absl::string_view layer, const NetworkValue& src);
  NetworkValue Relu(absl::string_view layer, const NetworkValue& src);
  // Windows of kernel x kernel, as far apart.
  NetworkValue MaxPool(absl::string_view layer, const NetworkValue& src, int64_t kernel);
  // Mean over height and width: [channels, 1, 1].
  NetworkValue GlobalAveragePool(absl::string_view layer, const NetworkValue& src);
  // All of a sample in one row. A value that is one already is returned as it is.
  NetworkValue Flatten(absl::string_view layer, const NetworkValue& src);
  // `src` is a row. Parameters: `layer`.weight [out_features, in_features], `layer`.bias.
  NetworkValue Linear(absl::string_view layer, const NetworkValue& src, int64_t out_features);
  // Both of one shape.
  NetworkValue Add(absl::string_view layer, const NetworkValue& a, const NetworkValue& b);

  // The serialized onnx.ModelProto with `output` as its only output, named "output".
  // INVALID_ARGUMENT if a layer did not fit its input: the message names the layer.
  absl::StatusOr<std::string> Finish(const NetworkValue& output);

 private:
  struct Model;  // Keeps the protobuf classes out of this header.

  bool Expect(bool condition, absl::string_view layer, const NetworkValue& src,
              absl::string_view wanted);
  void AddWeight(const std::string& name, const std::vector<int64_t>& dims, double deviation);
  void AddConstantParameter(const std::string& name, int64_t size, float value);

  std::unique_ptr<Model> model_;
  absl::Status status_;
  const uint64_t seed_;
  uint64_t parameters_ = 0;  // Created so far: the stream of the next one.
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_MODEL_ZOO_NETWORK_BUILDER_H_
