#include "client/model_zoo/model_zoo.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/model_zoo/network_builder.h"

namespace topiary {
namespace {

using Builder = NetworkBuilder;
using Value = NetworkValue;

constexpr int64_t kMaxClasses = 1 << 20;
constexpr size_t kMaxHiddenLayers = 64;

// Linear and ReLU in turn, named "0", "2", "4", ... as in torch.nn.Sequential.
Value BuildMlp(const std::vector<int64_t>& hidden, int64_t classes, Builder* net) {
  Value value = net->Flatten("flatten", net->Input());
  int index = 0;
  for (int64_t width : hidden) {
    value = net->Linear(absl::StrCat(index), value, width);
    value = net->Relu(absl::StrCat(index + 1), value);
    index += 2;
  }
  return net->Linear(absl::StrCat(index), value, classes);
}

// LeNet-5 (LeCun et al., 1998) with ReLU and max pooling. 28 x 28 images are padded to 32 x 32.
Value BuildLeNet(int64_t classes, Builder* net) {
  const Value input = net->Input();
  const bool mnist_sized = input.shape.size() == 3 && input.shape[1] < 32;
  Value value = net->Convolution("conv1", input, {6, 5, 1, mnist_sized ? 2 : 0, true});
  value = net->MaxPool("pool1", net->Relu("relu1", value), 2);
  value = net->Convolution("conv2", value, {16, 5, 1, 0, true});
  value = net->MaxPool("pool2", net->Relu("relu2", value), 2);
  value = net->Relu("relu3", net->Linear("fc1", net->Flatten("flatten", value), 120));
  value = net->Relu("relu4", net->Linear("fc2", value, 84));
  return net->Linear("fc3", value, classes);
}

Value ConvNorm(const std::string& conv, const std::string& norm, const Value& src,
               const ConvolutionShape& shape, Builder* net) {
  return net->BatchNorm(norm, net->Convolution(conv, src, shape));
}

// Two 3x3 convolutions and a way around them (He et al., 2016), projected where the shape changes.
Value BasicBlock(const std::string& name, const Value& src, int64_t channels, int64_t stride,
                 Builder* net) {
  const auto layer = [&](absl::string_view part) { return absl::StrCat(name, ".", part); };
  Value value = ConvNorm(layer("conv1"), layer("bn1"), src, {channels, 3, stride, 1, false}, net);
  value = net->Relu(layer("relu1"), value);
  value = ConvNorm(layer("conv2"), layer("bn2"), value, {channels, 3, 1, 1, false}, net);
  Value skip = src;
  if (stride != 1 || (!src.shape.empty() && src.shape[0] != channels)) {
    skip = ConvNorm(layer("downsample.0"), layer("downsample.1"), src,
                    {channels, 1, stride, 0, false}, net);
  }
  return net->Relu(layer("relu2"), net->Add(layer("add"), value, skip));
}

Value BuildResNet20(int64_t classes, Builder* net) {
  Value value = ConvNorm("conv1", "bn1", net->Input(), {16, 3, 1, 1, false}, net);
  value = net->Relu("relu", value);
  int64_t channels = 16;
  for (int stage = 1; stage <= 3; ++stage, channels *= 2) {
    for (int block = 0; block < 3; ++block) {
      value = BasicBlock(absl::StrCat("layer", stage, ".", block), value, channels,
                         stage > 1 && block == 0 ? 2 : 1, net);
    }
  }
  value = net->Flatten("flatten", net->GlobalAveragePool("avgpool", value));
  return net->Linear("fc", value, classes);
}

// Sized for block pruning of 28 x 28 images: conv3 and fc1, where most of the weights are, have 144
// and 2,048 blocks of 16 x 16.
Value BuildFashionCnn(int64_t classes, Builder* net) {
  Value value = ConvNorm("conv1", "bn1", net->Input(), {16, 3, 1, 1, false}, net);
  value = net->MaxPool("pool1", net->Relu("relu1", value), 2);
  value = ConvNorm("conv2", "bn2", value, {32, 3, 2, 1, false}, net);
  value = ConvNorm("conv3", "bn3", net->Relu("relu2", value), {128, 3, 2, 1, false}, net);
  value = net->Flatten("flatten", net->Relu("relu3", value));
  value = net->Relu("relu4", net->Linear("fc1", value, 256));
  return net->Linear("fc2", value, classes);
}

std::string Names() {
  return absl::StrJoin(Architectures(), ", ", [](std::string* out, const ArchitectureInfo& info) {
    absl::StrAppend(out, info.name);
  });
}

absl::Status CheckOptions(absl::string_view architecture, const NewModelOptions& options) {
  if (options.classes < 1 || options.classes > kMaxClasses) {
    return absl::InvalidArgumentError(
        absl::StrCat("classes is ", options.classes, "; it must be from 1 to ", kMaxClasses));
  }
  if (!options.hidden.empty() && architecture != "mlp") {
    return absl::InvalidArgumentError(
        absl::StrCat("hidden layers can be chosen for mlp only, not for ", architecture));
  }
  if (options.hidden.size() > kMaxHiddenLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat("at most ", kMaxHiddenLayers, " hidden layers, not ", options.hidden.size()));
  }
  for (int64_t width : options.hidden) {
    if (width < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("hidden layers have at least one unit, not ", width));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const ArchitectureInfo> Architectures() {
  static const auto* const kArchitectures = new std::vector<ArchitectureInfo>{
      {"fashion_cnn", "3 convolutions with BatchNorm and 2 linear layers", {1, 28, 28}},
      {"lenet", "LeNet-5 with ReLU and max pooling", {1, 28, 28}},
      {"mlp", "linear layers with ReLU, 1024 and 1024 units", {784}},
      {"resnet20", "ResNet-20 for small images", {3, 32, 32}},
      {"sa_mlp", "one hidden layer of 67 units, as in Sequential Attention", {784}},
  };
  return *kArchitectures;
}

absl::StatusOr<std::string> NewModel(absl::string_view architecture,
                                     const NewModelOptions& options) {
  const ArchitectureInfo* info = nullptr;
  for (const ArchitectureInfo& candidate : Architectures()) {
    if (candidate.name == architecture) info = &candidate;
  }
  if (info == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no architecture is called \"", architecture, "\"; there are ", Names()));
  }
  if (absl::Status status = CheckOptions(architecture, options); !status.ok()) return status;
  NetworkBuilder net(
      architecture,
      options.sample_shape.empty() ? info->default_sample_shape : options.sample_shape,
      options.seed);
  Value output;
  if (architecture == "mlp") {
    const std::vector<int64_t> standard = {1024, 1024};
    output = BuildMlp(options.hidden.empty() ? standard : options.hidden, options.classes, &net);
  } else if (architecture == "sa_mlp") {
    output = BuildMlp({67}, options.classes, &net);
  } else if (architecture == "lenet") {
    output = BuildLeNet(options.classes, &net);
  } else if (architecture == "resnet20") {
    output = BuildResNet20(options.classes, &net);
  } else {
    output = BuildFashionCnn(options.classes, &net);
  }
  return net.Finish(output);
}

}  // namespace topiary
