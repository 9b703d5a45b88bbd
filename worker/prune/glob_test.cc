#include "worker/prune/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace topiary {
namespace {

struct Case {
  const char* pattern;
  const char* text;
  bool matches;
};

class GlobMatchesCase : public testing::TestWithParam<Case> {};

TEST_P(GlobMatchesCase, AsExpected) {
  EXPECT_EQ(GlobMatches(GetParam().pattern, GetParam().text), GetParam().matches)
      << GetParam().pattern << " on " << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GlobMatchesCase,
    testing::Values(Case{"fc1.weight", "fc1.weight", true}, Case{"fc1", "fc1.weight", false},
                    Case{"fc*", "fc1.weight", true}, Case{"*", "", true}, Case{"", "a", false},
                    Case{"*.weight", "layer1.0.conv1.weight", true}, Case{"fc?", "fc", false},
                    Case{"fc?.w", "fc1.w", true}, Case{"a*b*c", "a_b_b_c", true},
                    Case{"a*b*c", "a_c_b", false}, Case{"/conv1/Conv", "/conv1/Conv", true},
                    Case{"[ab]", "a", false}, Case{"**a", "ba", true}));

TEST(GlobMatches, IsNotExponentialInTheNumberOfStars) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  pattern += 'b';
  EXPECT_FALSE(GlobMatches(pattern, std::string(20000, 'a')));
}

}  // namespace
}  // namespace topiary
