#include "server/api/pareto_front.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ParetoFront, IsWhatNoOtherModelBeats) {
  EXPECT_THAT(ParetoFront({}), IsEmpty());
  EXPECT_THAT(ParetoFront({{0.9, 0.5, 100},     // the most accurate
                           {0.8, 0.9, 40},      // sparser and smaller
                           {0.7, 0.9, 40},      // beaten by the one before
                           {0.8, 0.8, 30},      // smaller yet
                           {0.85, 0.5, 101}}),  // beaten by the first
              ElementsAre(true, true, false, true, false));
}

TEST(ParetoFront, ModelsThatAreAlikeAreOnItTogether) {
  EXPECT_THAT(ParetoFront({{0.9, 0.5, 100}, {0.9, 0.5, 100}, {0.9, 0.5, 99}}),
              ElementsAre(false, false, true));
  EXPECT_THAT(ParetoFront({{0.9, 0.5, 100}, {0.9, 0.5, 100}}), ElementsAre(true, true));
}

TEST(ParetoFront, WhatIsNotKnownIsTheWorst) {
  ModelMerit nothing;
  ModelMerit no_size;
  no_size.quality = 0.9;
  EXPECT_THAT(ParetoFront({nothing, no_size, {0.9, 0, 100}}), ElementsAre(false, false, true));
  EXPECT_THAT(ParetoFront({nothing}), ElementsAre(false));
  EXPECT_THAT(ParetoFront({no_size}), ElementsAre(true));
}

}  // namespace
}  // namespace topiary
