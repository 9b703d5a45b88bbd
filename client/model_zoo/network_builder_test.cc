#include "client/model_zoo/network_builder.h"

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(NetworkBuilder, TracksShapesThroughConvolutionAndPooling) {
  NetworkBuilder net("n", {3, 15, 11}, 0);
  NetworkValue value = net.Convolution("c", net.Input(), {8, 3, 2, 1, false});
  EXPECT_THAT(value.shape, ElementsAre(8, 8, 6));
  value = net.MaxPool("p", value, 3);
  EXPECT_THAT(value.shape, ElementsAre(8, 2, 2));
  EXPECT_THAT(net.Flatten("f", value).shape, ElementsAre(32));
  EXPECT_THAT(net.GlobalAveragePool("g", value).shape, ElementsAre(8, 1, 1));
  EXPECT_OK(net.Finish(value).status());
}

TEST(NetworkBuilder, NamesNodesAndValuesAfterTheirLayer) {
  NetworkBuilder net("n", {4}, 0);
  const NetworkValue hidden = net.Relu("act", net.Linear("fc", net.Input(), 3));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, net.Finish(net.Linear("head", hidden, 2)));
  onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(bytes));
  EXPECT_EQ(model.graph().node(0).name(), "/fc/Gemm");
  EXPECT_EQ(model.graph().node(0).output(0), "/fc/Gemm_output_0");
  EXPECT_EQ(model.graph().node(2).output(0), "output");
  EXPECT_EQ(model.graph().initializer(0).name(), "fc.weight");
}

TEST(NetworkBuilder, ReportsTheFirstLayerThatDoesNotFit) {
  NetworkBuilder net("n", {1, 2, 2}, 0);
  const NetworkValue broken = net.Convolution("first", net.Input(), {4, 5, 1, 0, false});
  const NetworkValue later = net.MaxPool("second", broken, 9);
  EXPECT_THAT(net.Finish(net.Relu("third", later)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layer first")));
}

TEST(NetworkBuilder, RefusesToAddDifferentShapes) {
  NetworkBuilder net("n", {4}, 0);
  const NetworkValue sum = net.Add("sum", net.Input(), net.Linear("fc", net.Input(), 3));
  EXPECT_THAT(net.Finish(sum), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("sum")));
}

}  // namespace
}  // namespace topiary
