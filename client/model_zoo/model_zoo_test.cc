#include "client/model_zoo/model_zoo.h"

#include <cmath>
#include <map>
#include <set>

#include "common/digest.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

onnx::ModelProto Make(const std::string& architecture, const NewModelOptions& options = {}) {
  const absl::StatusOr<std::string> bytes = NewModel(architecture, options);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(bytes.value_or("")));
  return model;
}

std::map<std::string, std::vector<int64_t>> Parameters(const onnx::ModelProto& model) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    shapes[tensor.name()] = {tensor.dims().begin(), tensor.dims().end()};
  }
  return shapes;
}

std::vector<float> Values(const onnx::ModelProto& model, const std::string& name) {
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.name() != name) continue;
    std::vector<float> values(tensor.raw_data().size() / sizeof(float));
    tensor.raw_data().copy(reinterpret_cast<char*>(values.data()), tensor.raw_data().size());
    return values;
  }
  ADD_FAILURE() << "no parameter " << name;
  return {};
}

int64_t ParameterCount(const onnx::ModelProto& model) {
  int64_t total = 0;
  for (const auto& [name, shape] : Parameters(model)) {
    if (name.find("running_") != std::string::npos) continue;
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    total += count;
  }
  return total;
}

struct ArchitectureCase {
  std::string name;
  int64_t parameters;  // Counted by hand from the layers; running statistics are not trained.
};

class EveryArchitecture : public testing::TestWithParam<ArchitectureCase> {};

TEST_P(EveryArchitecture, HasTheParametersOfItsLayers) {
  EXPECT_EQ(ParameterCount(Make(GetParam().name)), GetParam().parameters);
}

TEST_P(EveryArchitecture, IsOpset17WithADynamicBatchAxisAtBothEnds) {
  const onnx::ModelProto model = Make(GetParam().name);
  EXPECT_EQ(model.ir_version(), 8);
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_EQ(model.opset_import(0).version(), 17);
  ASSERT_EQ(model.graph().input_size(), 1);
  ASSERT_EQ(model.graph().output_size(), 1);
  EXPECT_EQ(model.graph().input(0).type().tensor_type().shape().dim(0).dim_param(), "batch");
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(0).dim_param(), "batch");
  EXPECT_EQ(model.graph().output(0).type().tensor_type().shape().dim(1).dim_value(), 10);
}

TEST_P(EveryArchitecture, EachValueIsMadeOnceAndBeforeItIsUsed) {
  const onnx::ModelProto model = Make(GetParam().name);
  std::set<std::string> known = {"input"};
  for (const auto& [name, shape] : Parameters(model)) known.insert(name);
  for (const onnx::NodeProto& node : model.graph().node()) {
    for (const std::string& input : node.input()) {
      EXPECT_TRUE(known.count(input) == 1) << node.name() << " uses " << input;
    }
    for (const std::string& output : node.output()) {
      EXPECT_TRUE(known.insert(output).second) << output << " is made twice";
    }
  }
  EXPECT_EQ(known.count("output"), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, EveryArchitecture,
    testing::Values(ArchitectureCase{"mlp", 784 * 1024 + 1024 + 1024 * 1024 + 1024 + 10250},
                    ArchitectureCase{"sa_mlp", 784 * 67 + 67 + 67 * 10 + 10},
                    ArchitectureCase{"lenet", 61706}, ArchitectureCase{"resnet20", 272474},
                    ArchitectureCase{"fashion_cnn", 9 * 16 + 32 + 9 * 16 * 32 + 64 + 9 * 32 * 128 +
                                                        256 + 2048 * 256 + 256 + 2570}),
    [](const auto& info) { return info.param.name; });

TEST(ModelZoo, ListsEachArchitectureItCanMake) {
  std::vector<std::string> names;
  for (const ArchitectureInfo& info : Architectures()) {
    names.push_back(info.name);
    EXPECT_OK(NewModel(info.name, {}).status());
  }
  EXPECT_THAT(names, ElementsAre("fashion_cnn", "lenet", "mlp", "resnet20", "sa_mlp"));
}

TEST(ModelZoo, TheSameSeedGivesTheSameBytesAndAnotherDoesNot) {
  NewModelOptions one;
  one.seed = 1;
  const std::string first = NewModel("sa_mlp", {}).value();
  EXPECT_EQ(NewModel("sa_mlp", {}).value(), first);
  EXPECT_NE(NewModel("sa_mlp", one).value(), first);
}

TEST(ModelZoo, WeightsHaveHeVarianceAndBiasesAreZero) {
  const onnx::ModelProto model = Make("mlp");
  const std::vector<float> weights = Values(model, "2.weight");
  double sum = 0;
  double squares = 0;
  for (const float w : weights) {
    sum += w;
    squares += double{w} * w;
  }
  EXPECT_NEAR(sum / weights.size(), 0.0, 2e-4);
  EXPECT_NEAR(std::sqrt(squares / weights.size()), std::sqrt(2.0 / 1024), 2e-4);
  EXPECT_THAT(Values(model, "2.bias"), testing::Each(0.0f));
}

TEST(ModelZoo, LayersDoNotShareTheirRandomNumbers) {
  const onnx::ModelProto model = Make("resnet20");
  EXPECT_NE(Values(model, "layer1.0.conv1.weight"), Values(model, "layer1.0.conv2.weight"));
}

TEST(ModelZoo, BatchNormStartsAsTheIdentity) {
  const onnx::ModelProto model = Make("fashion_cnn");
  EXPECT_THAT(Values(model, "bn2.weight"), testing::Each(1.0f));
  EXPECT_THAT(Values(model, "bn2.bias"), testing::Each(0.0f));
  EXPECT_THAT(Values(model, "bn2.running_mean"), testing::Each(0.0f));
  EXPECT_THAT(Values(model, "bn2.running_var"), testing::Each(1.0f));
}

TEST(ModelZoo, ConvolutionsBeforeBatchNormHaveNoBias) {
  const auto shapes = Parameters(Make("resnet20"));
  EXPECT_EQ(shapes.count("conv1.bias"), 0u);
  EXPECT_THAT(shapes.at("layer2.0.downsample.0.weight"), ElementsAre(32, 16, 1, 1));
  EXPECT_THAT(shapes.at("fc.weight"), ElementsAre(10, 64));
}

TEST(ModelZoo, FashionCnnHasAHundredBlocksOf16InEachLargeLayer) {
  const auto shapes = Parameters(Make("fashion_cnn"));
  for (const char* name : {"conv3.weight", "fc1.weight"}) {
    const std::vector<int64_t>& shape = shapes.at(name);
    const int64_t k = shape.size() == 4 ? shape[1] * shape[2] * shape[3] : shape[1];
    EXPECT_GE((k / 16) * (shape[0] / 16), 100) << name;
    EXPECT_EQ(k % 16, 0) << name;
  }
}

TEST(ModelZoo, MlpTakesImagesAndHiddenWidths) {
  NewModelOptions options;
  options.sample_shape = {3, 4, 5};
  options.hidden = {7, 8};
  options.classes = 2;
  const onnx::ModelProto model = Make("mlp", options);
  EXPECT_EQ(model.graph().node(0).op_type(), "Flatten");
  const auto shapes = Parameters(model);
  EXPECT_THAT(shapes.at("0.weight"), ElementsAre(7, 60));
  EXPECT_THAT(shapes.at("2.weight"), ElementsAre(8, 7));
  EXPECT_THAT(shapes.at("4.weight"), ElementsAre(2, 8));
}

TEST(ModelZoo, LeNetPadsSmallImagesOnly) {
  NewModelOptions options;
  options.sample_shape = {3, 32, 32};
  EXPECT_THAT(Parameters(Make("lenet", options)).at("fc1.weight"), ElementsAre(120, 400));
  EXPECT_THAT(Parameters(Make("lenet")).at("fc1.weight"), ElementsAre(120, 400));
}

TEST(ModelZoo, AnUnknownNameIsAnsweredWithTheKnownOnes) {
  EXPECT_THAT(NewModel("vgg", {}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("resnet20")));
}

struct BadOptionCase {
  const char* name;
  const char* architecture;
  NewModelOptions options;
  const char* message;
};

class BadOptions : public testing::TestWithParam<BadOptionCase> {};

TEST_P(BadOptions, AreRefusedWithTheirName) {
  EXPECT_THAT(NewModel(GetParam().architecture, GetParam().options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    ModelZoo, BadOptions,
    testing::Values(
        BadOptionCase{"NoClasses", "mlp", {{}, 0, {}, 0}, "classes is 0"},
        BadOptionCase{"HiddenOfAFixedNetwork", "lenet", {{}, 10, {5}, 0}, "for mlp only"},
        BadOptionCase{"EmptyHiddenLayer", "mlp", {{}, 10, {0}, 0}, "at least one unit"},
        BadOptionCase{"ImageTooSmall", "lenet", {{1, 4, 4}, 10, {}, 0}, "layer conv2"},
        BadOptionCase{"RowForAConvolution", "resnet20", {{784}, 10, {}, 0}, "layer conv1"},
        BadOptionCase{"NegativeExtent", "mlp", {{-1}, 10, {}, 0}, "positive extents"},
        BadOptionCase{
            "AbsurdSize", "mlp", {{int64_t{1} << 40, int64_t{1} << 40}, 10, {}, 0}, "sensible"},
        BadOptionCase{"AbsurdWidth", "mlp", {{784}, 10, {int64_t{1} << 40}, 0}, "fewer features"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace topiary
