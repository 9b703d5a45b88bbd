#include "server/logging_observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/logging.h"

namespace topiary {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CountingObserver : public SchedulerObserver {
 public:
  void OnLeaseGranted(const Lease&, absl::Duration) override { ++calls; }
  void OnLeaseRenewed(const AttemptName&) override { ++calls; }
  void OnLeaseRefused(const AttemptName&, const std::string&) override { ++calls; }
  void OnLeaseLost(const JobName&, int, const std::string&) override { ++calls; }
  void OnAttemptFinished(const Job&, const AttemptName&, const std::string&,
                         AttemptOutcome::Kind) override {
    ++calls;
  }
  int calls = 0;
};

struct EventCase {
  const char* name;
  void (*happen)(SchedulerObserver* observer);
  const char* message;
};
class LoggedEventTest : public testing::TestWithParam<EventCase> {};

TEST_P(LoggedEventTest, NamesJobAttemptAndWorkerAndIsPassedOn) {
  CountingObserver next;
  LoggingObserver observer(&next);
  testing::internal::CaptureStderr();
  LogInit({LogFormat::kJson, LogLevel::kInfo});
  GetParam().happen(&observer);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr(GetParam().message), HasSubstr("\"job\":\"projects/p/jobs/j\""),
                    HasSubstr("\"attempt\":3"), HasSubstr("\"worker\":\"w\"")));
  EXPECT_EQ(next.calls, 1);
}

const AttemptName kAttempt = {"p", "j", 3, "token"};

void Grant(SchedulerObserver* observer) {
  Lease lease;
  lease.attempt = kAttempt;
  lease.worker = "w";
  observer->OnLeaseGranted(lease, absl::Seconds(1));
}
void Refuse(SchedulerObserver* observer) { observer->OnLeaseRefused(kAttempt, "w"); }
void Lose(SchedulerObserver* observer) { observer->OnLeaseLost({"p", "j"}, 3, "w"); }
void Finish(SchedulerObserver* observer) {
  Job job;
  job.project = "p";
  job.id = "j";
  observer->OnAttemptFinished(job, kAttempt, "w", AttemptOutcome::Kind::kSucceeded);
}

INSTANTIATE_TEST_SUITE_P(All, LoggedEventTest,
                         testing::Values(EventCase{"Leased", Grant, "attempt leased"},
                                         EventCase{"Refused", Refuse, "stale attempt refused"},
                                         EventCase{"Lost", Lose, "lease lost"},
                                         EventCase{"Finished", Finish, "attempt finished"}),
                         [](const auto& info) { return info.param.name; });

TEST(LoggingObserver, RenewalsArePassedOn) {
  CountingObserver next;
  LoggingObserver(&next).OnLeaseRenewed(kAttempt);
  EXPECT_EQ(next.calls, 1);
}

}  // namespace
}  // namespace topiary
