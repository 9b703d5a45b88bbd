#include "server/scheduling/worker_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_matchers.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

using State = WorkerInfo::State;
const absl::Time kT0 = absl::FromUnixSeconds(1000);

WorkerReport Report(const std::string& id, int free_slots = 1) {
  WorkerReport report;
  report.worker = id;
  report.free_slots = free_slots;
  return report;
}

class WorkerRegistryTest : public testing::Test {
 protected:
  State StateOf(const std::string& id, absl::Time now) {
    for (const WorkerInfo& info : registry_.List("", 100, now)) {
      if (info.id == id) return info.state;
    }
    ADD_FAILURE() << "no worker " << id;
    return State::kSilent;
  }

  WorkerRegistry registry_{absl::Seconds(30), absl::Hours(1), 3};
};

TEST_F(WorkerRegistryTest, StateFollowsTheLastReport) {
  registry_.Report(Report("w", 1), kT0);
  EXPECT_EQ(StateOf("w", kT0), State::kIdle);
  registry_.Report(Report("w", 0), kT0);
  EXPECT_EQ(StateOf("w", kT0), State::kBusy);
  WorkerReport draining = Report("w", 0);
  draining.draining = true;
  registry_.Report(draining, kT0);
  EXPECT_EQ(StateOf("w", kT0), State::kDraining);
}

TEST_F(WorkerRegistryTest, AWorkerIsSilentAfterALeaseLengthUnlessItsCallIsHeld) {
  registry_.Report(Report("held"), kT0);
  registry_.Report(Report("gone"), kT0);
  registry_.SetWaiting("held", true, kT0);
  const absl::Time later = kT0 + absl::Minutes(1);
  EXPECT_EQ(StateOf("held", later), State::kIdle);
  EXPECT_EQ(StateOf("gone", later), State::kSilent);
  registry_.SetWaiting("held", false, later);
  EXPECT_EQ(StateOf("held", later), State::kIdle);
  EXPECT_EQ(StateOf("held", later + absl::Minutes(1)), State::kSilent);
}

TEST_F(WorkerRegistryTest, JobsAreThoseStillRunning) {
  WorkerReport report = Report("w");
  report.attempts.resize(2);
  report.attempts[0].attempt = {"p", "running", 1, "t"};
  report.attempts[1].attempt = {"p", "finished", 1, "t"};
  report.attempts[1].outcome = AttemptOutcome();
  registry_.Report(report, kT0);
  EXPECT_THAT(registry_.List("", 10, kT0)[0].jobs, testing::ElementsAre(JobName{"p", "running"}));
}

TEST_F(WorkerRegistryTest, ADrainRequestIsRememberedAndAnswersEachReport) {
  EXPECT_FALSE(registry_.Report(Report("w"), kT0));
  ASSERT_OK_AND_ASSIGN(const WorkerInfo info, registry_.Drain("w", kT0));
  EXPECT_TRUE(info.drain_requested);
  EXPECT_EQ(info.state, State::kDraining);
  EXPECT_TRUE(registry_.Report(Report("w"), kT0));
  EXPECT_TRUE(registry_.Report(Report("w"), kT0));
}

TEST_F(WorkerRegistryTest, AnUnknownWorkerCannotBeDrained) {
  const auto refused = registry_.Drain("w", kT0);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kNotFound, testing::HasSubstr("w")));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonWorkerNotFound);
}

TEST_F(WorkerRegistryTest, ListsByIdInPages) {
  for (const char* id : {"c", "a", "b"}) registry_.Report(Report(id), kT0);
  const auto first = registry_.List("", 2, kT0);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first[1].id, "b");
  const auto rest = registry_.List("b", 2, kT0);
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].id, "c");
}

TEST_F(WorkerRegistryTest, TheLongSilentAreForgotten) {
  registry_.Report(Report("w"), kT0);
  EXPECT_EQ(registry_.List("", 10, kT0 + absl::Minutes(59)).size(), 1u);
  EXPECT_EQ(registry_.List("", 10, kT0 + absl::Minutes(61)).size(), 0u);
}

TEST_F(WorkerRegistryTest, ItDoesNotGrowBeyondItsLimit) {
  for (int i = 0; i < 10; ++i) {
    registry_.Report(Report(std::string(1, static_cast<char>('a' + i))), kT0 + absl::Seconds(i));
  }
  const auto workers = registry_.List("", 100, kT0);
  ASSERT_EQ(workers.size(), 3u);
  EXPECT_EQ(workers[0].id, "h");
}

}  // namespace
}  // namespace topiary
