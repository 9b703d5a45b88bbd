#include "client/cli/table.h"

#include "gtest/gtest.h"

namespace topiary {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({{"layer"}, {"sparsity", Table::Align::kRight}});
  table.AddRow({"conv1", "0 %"});
  table.AddRow({"classifier", "90.00 %"});
  EXPECT_EQ(table.Render(),
            "layer       sparsity\n"
            "----------  --------\n"
            "conv1            0 %\n"
            "classifier   90.00 %\n");
}

TEST(Table, MissingCellsAreEmptyAndSurplusOnesDropped) {
  Table table({{"a"}, {"b"}});
  table.AddRow({"1"});
  table.AddRow({"1", "2", "3"});
  EXPECT_EQ(table.Render(), "a  b\n-  -\n1\n1  2\n");
}

TEST(Table, WithoutRowsOnlyTheHeadingIsLeft) {
  Table table({{"job"}, {"state"}});
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.Render(), "job  state\n---  -----\n");
}

TEST(Table, WideTextIsCutAndNumbersAreNot) {
  Table table({{"name"}, {"steps", Table::Align::kRight}});
  table.AddRow({"a-very-long-name", "123456789012"});
  EXPECT_EQ(table.Render(8),
            "name             steps\n"
            "--------  ------------\n"
            "a-ver...  123456789012\n");
}

TEST(Table, CuttingNeverSplitsACodePoint) {
  Table table({{"n"}});
  table.AddRow({"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"});
  EXPECT_EQ(table.Render(5), "n\n-----\n\xC3\xA9\xC3\xA9...\n");
}

}  // namespace
}  // namespace topiary
