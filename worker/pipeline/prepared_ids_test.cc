// Data of models with several inputs, of ids, and with a label at each position.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/data/testing/file_builder.h"
#include "worker/model/testing/graph_builder.h"
#include "worker/pipeline/prepared_data.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kBatch = GraphBuilder::kBatch;

// y [batch, 2] of two numbers and of ids of which the second picks a row of `table`.
Graph ClickModel() {
  return GraphBuilder()
      .Input("numbers", {kBatch, 2})
      .Input("ids", {kBatch, 2}, DType::kInt64)
      .Weight("table", Shape({5, 2}))
      .Node("Constant", {}, {"second"}, {Int("value_int", 1)})
      .Node("Gather", {"ids", "second"}, {"column"}, {Int("axis", 1)})
      .Node("Gather", {"table", "column"}, {"row"})
      .Node("Add", {"numbers", "row"}, {"y"})
      .Output("y")
      .Build();
}

// y [batch, 3, 4] of ids [batch, 3].
Graph Tagger() {
  return GraphBuilder()
      .Input("ids", {kBatch, 3}, DType::kInt64)
      .Weight("table", Shape({5, 4}))
      .Node("Gather", {"table", "ids"}, {"y"})
      .Output("y")
      .Build();
}

absl::StatusOr<PreparedData> Prepare(const Graph& graph, LossSpec loss,
                                     const std::vector<std::pair<std::string, std::string>>& arrays,
                                     const std::string& input_array = "x",
                                     const std::string& label_array = "y", double divide_by = 1) {
  const std::string path = testing::TempDir() + "/ids.npz";
  EXPECT_OK(WriteFileAtomically(path, ZipOf(arrays)));
  DataSpec spec;
  NpzSourceSpec source;
  source.path = path;
  source.input_array = input_array;
  source.label_array = label_array;
  spec.train = source;
  spec.evaluation = source;
  spec.divide_by = divide_by;
  const absl::StatusOr<DataRequirements> requirements = RequirementsOf(graph, loss);
  if (!requirements.ok()) return requirements.status();
  return PrepareData(spec, loss, 0, *requirements, 0, [] { return absl::OkStatus(); });
}

std::string Ids(const std::string& shape, const std::vector<int64_t>& ids) {
  return NpyOf<int64_t>("<i8", shape, ids);
}

TEST(PreparedIds, EachInputIsFedByTheArrayOfItsNameAndOnlyNumbersAreScaled) {
  ASSERT_OK_AND_ASSIGN(const PreparedData data,
                       Prepare(ClickModel(), LossSpec::kCrossEntropy,
                               {{"ids.npy", Ids("(2, 2)", {900, 4, -7, 0})},
                                {"numbers.npy", NpyOf<float>("<f4", "(2, 2)", {1, 2, 3, 4})},
                                {"y.npy", Ids("(2,)", {0, 1})}},
                               "x", "y", 2));
  ASSERT_EQ(data.train.inputs.size(), 2u);
  EXPECT_EQ(data.train.inputs[0].name, "numbers");
  EXPECT_THAT(data.train.inputs[0].values.span<float>(), ElementsAre(0.5f, 1, 1.5f, 2));
  EXPECT_THAT(data.train.inputs[1].values.span<int64_t>(), ElementsAre(900, 4, -7, 0))
      << "the first column picks no row of a table, and may hold anything";
}

TEST(PreparedIds, AnIdBeyondItsTableIsNamed) {
  EXPECT_THAT(
      Prepare(ClickModel(), LossSpec::kCrossEntropy,
              {{"ids.npy", Ids("(2, 2)", {0, 4, 0, 5})},
               {"numbers.npy", NpyOf<float>("<f4", "(2, 2)", {1, 2, 3, 4})},
               {"y.npy", Ids("(2,)", {0, 1})}})
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("array 'ids' of "), HasSubstr("ids.npz"),
                     HasSubstr("has the id 5 in row 1, element 1"), HasSubstr("the rows 0 to 4"))));
}

TEST(PreparedIds, ASequenceHasALabelAtEachPosition) {
  ASSERT_OK_AND_ASSIGN(const PreparedData data,
                       Prepare(Tagger(), LossSpec::kCrossEntropy,
                               {{"tokens.npy", Ids("(2, 3)", {0, 1, 2, 3, 4, 0})},
                                {"y.npy", Ids("(2, 3)", {0, 1, 2, 3, 0, 1})}},
                               "tokens"));
  EXPECT_EQ(data.train.labels.values.shape(), Shape({2, 3}));
  EXPECT_THAT(Prepare(Tagger(), LossSpec::kCrossEntropy,
                      {{"tokens.npy", Ids("(2, 3)", {0, 1, 2, 3, 4, 0})},
                       {"y.npy", Ids("(2, 3)", {0, 1, 2, 3, 4, 1})}},
                      "tokens")
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has the label 4 in row 1")));
}

TEST(PreparedIds, WhatWouldDoNothingIsRefused) {
  const std::vector<std::pair<std::string, std::string>> arrays = {
      {"ids.npy", Ids("(2, 2)", {0, 4, 0, 1})},
      {"numbers.npy", NpyOf<float>("<f4", "(2, 2)", {1, 2, 3, 4})},
      {"y.npy", Ids("(2,)", {0, 1})}};
  EXPECT_THAT(Prepare(ClickModel(), LossSpec::kCrossEntropy, arrays, "numbers").status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("spec.data.train.npz: input_array"), HasSubstr("has 2"))));
  const std::vector<std::pair<std::string, std::string>> sequences = {
      {"x.npy", Ids("(2, 3)", {0, 1, 2, 3, 4, 0})}, {"y.npy", Ids("(2, 3)", {0, 1, 2, 3, 0, 1})}};
  EXPECT_OK(Prepare(Tagger(), LossSpec::kCrossEntropy, sequences).status());
  EXPECT_THAT(Prepare(Tagger(), LossSpec::kCrossEntropy, sequences, "x", "y", 2).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("spec.data.divide_by")));
}

TEST(PreparedIds, LabelsFeedNoInput) {
  EXPECT_THAT(Prepare(ClickModel(), LossSpec::kCrossEntropy,
                      {{"ids.npy", Ids("(2, 2)", {0, 4, 0, 1})},
                       {"numbers.npy", NpyOf<float>("<f4", "(2, 2)", {1, 2, 3, 4})}},
                      "x", "numbers")
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input 'numbers'")));
}

TEST(PreparedIds, OtherFormatsFeedNoIds) {
  DataSpec spec;
  spec.train = CsvSourceSpec();
  const DataRequirements requirements =
      RequirementsOf(ClickModel(), LossSpec::kCrossEntropy).value();
  EXPECT_THAT(PrepareData(spec, LossSpec::kCrossEntropy, 0, requirements, 0,
                          [] { return absl::OkStatus(); })
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("spec.data.train.csv"), HasSubstr(".npz"))));
}

}  // namespace
}  // namespace topiary
