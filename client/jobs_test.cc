#include "client/jobs.h"

#include "client/channel.h"
#include "client/testing/fake_compression_service.h"
#include "client/testing/in_process_server.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class Jobs : public testing::Test {
 protected:
  Jobs() {
    ChannelOptions channel;
    channel.target = server_.target();
    client_ = std::make_unique<JobClient>(NewChannel(channel).value(), "projects/p");
    watch_.backoff.initial = watch_.backoff.maximum = absl::Microseconds(1);
    watch_.backoff.max_failures = 3;
    service_.SetEvents({StateEvent(1, v1::JOB_STATE_QUEUED), StateEvent(2, v1::JOB_STATE_RUNNING),
                        ProgressEvent(3, 10), ProgressEvent(7, 20),
                        StateEvent(8, v1::JOB_STATE_SUCCEEDED)});
  }

  // The sequence numbers that a watch of a new job has given.
  std::vector<int64_t> Watched() {
    const v1::Job job = client_->Submit(v1::CompressionSpec()).value();
    std::vector<int64_t> seen;
    result_ = client_->Watch(job.name(), watch_, [&](const v1::JobEvent& event) {
      seen.push_back(event.sequence());
      return absl::OkStatus();
    });
    return seen;
  }

  FakeCompressionService service_;
  InProcessServer server_{{&service_}};
  std::unique_ptr<JobClient> client_;
  WatchOptions watch_;
  absl::StatusOr<v1::Job> result_ = absl::UnknownError("not watched");
};

TEST_F(Jobs, SubmittingMakesUpARequestId) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, client_->Submit(v1::CompressionSpec()));
  EXPECT_EQ(job.name(), "projects/p/jobs/j1");
  EXPECT_THAT(service_.last_request_id(), SizeIs(32));
}

TEST_F(Jobs, ALostAnswerDoesNotMakeASecondJob) {
  service_.LoseAnswersOfCreateJob(2, {grpc::StatusCode::UNAVAILABLE, "lost"});
  EXPECT_OK(client_->Submit(v1::CompressionSpec()).status());
  EXPECT_EQ(service_.jobs(), 1);
}

TEST_F(Jobs, ARefusalIsNotRepeated) {
  service_.LoseAnswersOfCreateJob(1, {grpc::StatusCode::INVALID_ARGUMENT, "no"});
  EXPECT_THAT(client_->Submit(v1::CompressionSpec()), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(Jobs, TwoSubmissionsAreTwoJobsUnlessTheRequestIdIsTheSame) {
  ASSERT_OK(client_->Submit(v1::CompressionSpec()).status());
  ASSERT_OK(client_->Submit(v1::CompressionSpec()).status());
  EXPECT_EQ(service_.jobs(), 2);
  ASSERT_OK(client_->Submit(v1::CompressionSpec(), "mine").status());
  ASSERT_OK(client_->Submit(v1::CompressionSpec(), "mine").status());
  EXPECT_EQ(service_.jobs(), 3);
}

TEST_F(Jobs, ValidatingMakesNoJob) {
  EXPECT_OK(client_->Validate(v1::CompressionSpec()).status());
  EXPECT_EQ(service_.jobs(), 0);
}

TEST_F(Jobs, ListingGathersAllPages) {
  for (int i = 0; i < 450; ++i) ASSERT_OK(client_->Submit(v1::CompressionSpec()).status());
  EXPECT_THAT(client_->List({}), IsOkAndHolds(SizeIs(450)));
  JobFilter filter;
  filter.limit = 250;
  EXPECT_THAT(client_->List(filter), IsOkAndHolds(SizeIs(250)));
}

TEST_F(Jobs, ListingPassesTheFilterOn) {
  JobFilter filter;
  filter.states = {v1::JOB_STATE_FAILED};
  filter.labels = {{"team", "vision"}};
  ASSERT_OK(client_->List(filter).status());
  EXPECT_THAT(service_.last_list().states(), ElementsAre(v1::JOB_STATE_FAILED));
  EXPECT_EQ(service_.last_list().labels().at("team"), "vision");
  EXPECT_EQ(service_.last_list().parent(), "projects/p");
  EXPECT_FALSE(service_.last_list().include_children());
  filter.include_children = true;
  ASSERT_OK(client_->List(filter).status());
  EXPECT_TRUE(service_.last_list().include_children());
  filter.parent_job = "projects/p/jobs/s";
  ASSERT_OK(client_->List(filter).status());
  EXPECT_EQ(service_.last_list().parent_job(), "projects/p/jobs/s");
}

TEST_F(Jobs, CancelAndDeleteReachTheJob) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, client_->Submit(v1::CompressionSpec()));
  EXPECT_TRUE(client_->Cancel(job.name()).value().cancel_requested());
  EXPECT_OK(client_->Delete(job.name()));
  EXPECT_THAT(client_->Get(job.name()), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(Jobs, WatchingGivesEveryEventInOrder) {
  EXPECT_THAT(Watched(), ElementsAre(1, 2, 3, 7, 8));
  EXPECT_EQ(result_.value().state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(Jobs, ALostConnectionLosesAndRepeatsNoEvent) {
  service_.EndNextWatchAfter(3, {grpc::StatusCode::UNAVAILABLE, "gone"});
  EXPECT_THAT(Watched(), ElementsAre(1, 2, 3, 7, 8));
  EXPECT_THAT(service_.watched_after(), ElementsAre(0, 3));
}

TEST_F(Jobs, AStreamThatEndsTooEarlyIsTakenUpAgain) {
  service_.SetEvents({StateEvent(1, v1::JOB_STATE_QUEUED), StateEvent(2, v1::JOB_STATE_RUNNING)});
  EXPECT_THAT(Watched(), ElementsAre(1, 2));
  // The job never ends: after some tries the watch does.
  EXPECT_THAT(result_, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_GE(service_.watched_after().size(), 3u);
}

TEST_F(Jobs, WatchingAJobWhoseEndWasSeenBeforeReturnsAtOnce) {
  watch_.after_sequence = 8;
  EXPECT_THAT(Watched(), ElementsAre());
  EXPECT_EQ(result_.value().state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(Jobs, WatchingCanBeginInTheMiddle) {
  watch_.after_sequence = 3;
  EXPECT_THAT(Watched(), ElementsAre(7, 8));
}

TEST_F(Jobs, AnErrorOfTheCallbackEndsTheWatch) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, client_->Submit(v1::CompressionSpec()));
  int calls = 0;
  EXPECT_THAT(client_->Watch(job.name(), watch_,
                             [&](const v1::JobEvent&) {
                               ++calls;
                               return absl::DataLossError("cannot print");
                             }),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(calls, 1);
}

TEST_F(Jobs, WatchingAnUnknownJobIsNotFoundWithoutRetries) {
  EXPECT_THAT(client_->Watch("projects/p/jobs/none", watch_,
                             [](const v1::JobEvent&) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(service_.watched_after(), SizeIs(0));
}

TEST_F(Jobs, CancellingTheWatchLeavesTheJobAlone) {
  Cancellation cancellation;
  watch_.cancellation = &cancellation;
  ASSERT_OK_AND_ASSIGN(const v1::Job job, client_->Submit(v1::CompressionSpec()));
  service_.EndNextWatchAfter(2, {grpc::StatusCode::UNAVAILABLE, "gone"});
  EXPECT_THAT(client_->Watch(job.name(), watch_,
                             [&](const v1::JobEvent&) {
                               cancellation.Cancel();
                               return absl::OkStatus();
                             }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_FALSE(client_->Get(job.name()).value().cancel_requested());
}

TEST(JobName, ShortNamesAreCompleted) {
  EXPECT_EQ(JobName("projects/p", "j1"), "projects/p/jobs/j1");
  EXPECT_EQ(JobName("projects/p", "projects/q/jobs/j2"), "projects/q/jobs/j2");
}

TEST(RequestId, IsNewEachTime) { EXPECT_NE(NewRequestId(), NewRequestId()); }

}  // namespace
}  // namespace topiary
