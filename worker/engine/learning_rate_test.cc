#include "worker/engine/learning_rate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "common/status_matchers.h"

namespace topiary {
namespace {

LearningRateSchedule Schedule(LearningRateKind kind, int64_t total, int64_t warmup = 0) {
  LearningRateSchedule schedule;
  schedule.kind = kind;
  schedule.base = 0.4;
  schedule.total_steps = total;
  schedule.warmup_steps = warmup;
  return schedule;
}

TEST(LearningRate, WarmUpRisesALineToTheBase) {
  const LearningRateSchedule schedule = Schedule(LearningRateKind::kConstant, 100, 4);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 1), 0.2);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 3), 0.4);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 99), 0.4);
}

TEST(LearningRate, CosineGoesFromBaseToItsFinalFractionAtTheLastStep) {
  LearningRateSchedule schedule = Schedule(LearningRateKind::kCosine, 101);
  schedule.final_fraction = 0.25;
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 0), 0.4);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 50), 0.25);
  EXPECT_NEAR(LearningRateAt(schedule, 100), 0.1, 1e-15);
}

TEST(LearningRate, CosineStartsAfterTheWarmUp) {
  const LearningRateSchedule schedule = Schedule(LearningRateKind::kCosine, 111, 10);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 9), 0.4);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 10), 0.4);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 60), 0.2);
  EXPECT_NEAR(LearningRateAt(schedule, 110), 0.0, 1e-15);
}

TEST(LearningRate, LinearFallsEvenly) {
  LearningRateSchedule schedule = Schedule(LearningRateKind::kLinear, 5);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 0), 0.4);
  EXPECT_NEAR(LearningRateAt(schedule, 1), 0.3, 1e-15);
  EXPECT_NEAR(LearningRateAt(schedule, 4), 0.0, 1e-15);
}

TEST(LearningRate, StepsFallAtTheirMilestones) {
  LearningRateSchedule schedule = Schedule(LearningRateKind::kStep, 100);
  schedule.factor = 0.5;
  schedule.milestones = {0.3, 0.7};
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 29), 0.4);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 30), 0.2);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 69), 0.2);
  EXPECT_DOUBLE_EQ(LearningRateAt(schedule, 70), 0.1);
}

TEST(LearningRate, ARunOfOneStepIsFinite) {
  for (const LearningRateKind kind : {LearningRateKind::kConstant, LearningRateKind::kStep,
                                      LearningRateKind::kCosine, LearningRateKind::kLinear}) {
    EXPECT_TRUE(std::isfinite(LearningRateAt(Schedule(kind, 1), 0)));
  }
}

struct Bad {
  std::string field;
  std::function<void(LearningRateSchedule*)> change;
};

class LearningRateRefuses : public testing::TestWithParam<Bad> {};

TEST_P(LearningRateRefuses, NamingTheField) {
  LearningRateSchedule schedule = Schedule(LearningRateKind::kStep, 100);
  schedule.milestones = {0.5};
  ASSERT_OK(ValidateLearningRateSchedule(schedule));
  GetParam().change(&schedule);
  EXPECT_THAT(ValidateLearningRateSchedule(schedule),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr(GetParam().field)));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, LearningRateRefuses,
    testing::Values(Bad{"base", [](auto* s) { s->base = 0; }},
                    Bad{"base", [](auto* s) { s->base = std::nan(""); }},
                    Bad{"warmup_steps", [](auto* s) { s->warmup_steps = 100; }},
                    Bad{"total_steps", [](auto* s) { s->total_steps = 0; }},
                    Bad{"factor", [](auto* s) { s->factor = 0; }},
                    Bad{"milestone",
                        [](auto* s) {
                          s->milestones = {0.5, 0.5};
                        }},
                    Bad{"milestone", [](auto* s) { s->milestones = {1.0}; }},
                    Bad{"final_fraction", [](auto* s) { s->final_fraction = 2; }}));

}  // namespace
}  // namespace topiary
