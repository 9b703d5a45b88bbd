#include "bench/rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace topiary {
namespace {

BenchmarkRun SomeRun() {
  return {
      "training-step", "torch 2.15.0", "a machine", 500, 50, {{"mlp/f32", 5, 10, 2, "ms", 0.1}}};
}

TEST(BenchmarkRows, JsonHasTheFieldsThatReadersRelyOn) {
  const auto json = nlohmann::json::parse(ToJson(SomeRun()));
  EXPECT_EQ(json["benchmark"], "training-step");
  ASSERT_EQ(json["rows"].size(), 1u);
  const auto& row = json["rows"][0];
  EXPECT_EQ(row["name"], "mlp/f32");
  EXPECT_EQ(row["ours"], 5);
  EXPECT_EQ(row["peer"], 10);
  EXPECT_EQ(row["ratio"], 2);
  EXPECT_EQ(row["unit"], "ms");
  EXPECT_EQ(row["spread"], 0.1);
}

TEST(BenchmarkRows, TableStatesThePeakBesideTheFigures) {
  EXPECT_THAT(ToTable(SomeRun()),
              testing::AllOf(testing::HasSubstr("500 GF/s"), testing::HasSubstr("mlp/f32"),
                             testing::HasSubstr("2.00")));
}

}  // namespace
}  // namespace topiary
