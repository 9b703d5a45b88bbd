#include "server/api/sweep_children.h"

#include <limits>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using google::protobuf::TextFormat;
using google::protobuf::util::MessageDifferencer;

v1::CompressionSpec SpecFrom(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

v1::CompressionSpec Child(const v1::CompressionSpec& spec, int64_t number) {
  v1::CompressionSpec common = spec;
  common.clear_sweep();
  return ChildSpec(common, spec.sweep(), EntriesOf(spec.sweep(), number));
}

TEST(SweepChildren, SeedsChangeFastestThenSparsitiesBlocksAndMethods) {
  const v1::CompressionSpec spec = SpecFrom(R"(
      target { min_blocks: 3 }
      sweep { methods { magnitude {} } methods { rigl { update_steps: 7 } }
              blocks { rows: 8 cols: 4 } blocks { rows: 1 cols: 16 }
              sparsities: 0.5 sparsities: 0.9 sparsities: 0.95  seeds: 7 seeds: 1 })");
  ASSERT_EQ(CountCombinations(spec.sweep()), 24);
  const auto expect = [&](int64_t number, const std::string& text) {
    EXPECT_TRUE(MessageDifferencer::Equals(Child(spec, number), SpecFrom(text)))
        << Child(spec, number).ShortDebugString();
  };
  expect(0, R"(magnitude {} task { seed: 7 }
               target { min_blocks: 3 sparsity: 0.5 block_rows: 8 block_cols: 4 })");
  expect(1, R"(magnitude {} task { seed: 1 }
               target { min_blocks: 3 sparsity: 0.5 block_rows: 8 block_cols: 4 })");
  expect(2, R"(magnitude {} task { seed: 7 }
               target { min_blocks: 3 sparsity: 0.9 block_rows: 8 block_cols: 4 })");
  expect(6, R"(magnitude {} task { seed: 7 }
               target { min_blocks: 3 sparsity: 0.5 block_rows: 1 block_cols: 16 })");
  expect(23, R"(rigl { update_steps: 7 } task { seed: 1 }
                target { min_blocks: 3 sparsity: 0.95 block_rows: 1 block_cols: 16 })");
  std::set<std::string> all;
  for (int64_t i = 0; i < 24; ++i) all.insert(Child(spec, i).ShortDebugString());
  EXPECT_EQ(all.size(), 24) << "each combination once";
}

TEST(SweepChildren, EmptyListsLeaveTheSpecAsItIs) {
  const v1::CompressionSpec spec = SpecFrom(
      "snip { batches: 2 } target { sparsity: 0.5 } task { seed: 3 } sweep { seeds: 1 seeds: 2 }");
  EXPECT_TRUE(MessageDifferencer::Equals(
      Child(spec, 1), SpecFrom("snip { batches: 2 } target { sparsity: 0.5 } task { seed: 2 }")));
}

TEST(SweepChildren, TheirNumberDoesNotOverflow) {
  v1::Sweep sweep;
  EXPECT_EQ(CountCombinations(sweep), 1);
  sweep.mutable_seeds()->Resize(1 << 20, 0);
  sweep.mutable_sparsities()->Resize(1 << 20, 0);
  for (int i = 0; i < (1 << 12); ++i) sweep.add_blocks();
  EXPECT_EQ(CountCombinations(sweep), int64_t{1} << 52);
  for (int i = 0; i < (1 << 12); ++i) sweep.add_methods();
  EXPECT_EQ(CountCombinations(sweep), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace topiary
