#include "worker/pipeline/batch_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_macros.h"
#include "common/status_matchers.h"
#include "worker/engine/testing/gradient_case.h"
#include "worker/engine/testing/networks.h"
#include "worker/engine/testing/program_fixture.h"

namespace topiary {
namespace {

using testing::HasSubstr;

absl::Status CheckStatus(const GradientCase& model) {
  ProgramOptions options;
  options.batch = model.batch;
  options.loss = model.loss;
  ASSIGN_OR_RETURN(const ProgramFixture fixture, BuildFixture(model.graph, options));
  return CheckOutputPerExample(model.graph, *fixture.program);
}

TEST(BatchFeed, AnOutputForEachExampleIsRight) {
  EXPECT_OK(CheckStatus(Perceptron(1)));
  EXPECT_OK(CheckStatus(Perceptron(3)));
}

// The examples of a batch behind one another in one row, which no label or metric can tell apart.
TEST(BatchFeed, AnOutputWhoseFirstAxisIsNotTheBatch) {
  for (const LossKind loss : {LossKind::kSoftmaxCrossEntropy, LossKind::kMeanSquaredError}) {
    GradientGraph graph;
    const GradientCase model = graph.Input("x", {GraphBuilder::kBatch, 3})
                                   .Weight("w", {3})
                                   .Node("Mul", {"x", "w"}, "z")
                                   .Node("Flatten", {"z"}, "y", {Int("axis", 0)})
                                   .Output("y")
                                   .Finish("", loss, 2);
    EXPECT_THAT(CheckStatus(model),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("output 'y' has shape [1,3] for one example and [1,6] for 2")));
  }
}

TEST(BatchFeed, AnOutputOfWhichAnotherAxisDependsOnTheBatch) {
  GradientGraph graph;
  const GradientCase model = graph.Input("x", {GraphBuilder::kBatch, 3})
                                 .Weight("w", {3})
                                 .Node("Mul", {"x", "w"}, "z")
                                 .Node("Transpose", {"z"}, "t", {List("perm", {1, 0})})
                                 .Node("MatMul", {"z", "t"}, "y")
                                 .Output("y")
                                 .Finish("", LossKind::kMeanSquaredError, 2);
  EXPECT_THAT(CheckStatus(model),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[2,2] for 2")));
}

}  // namespace
}  // namespace topiary
