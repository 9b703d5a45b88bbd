#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "server/test_server.h"

// CompressionService over a real socket, with the real store behind it.
namespace topiary {
namespace {

using google::protobuf::util::MessageDifferencer;
using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CompressionServiceTest : public testing::Test {
 protected:
  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job* job) {
    return server_.jobs()->CreateJob(Context().get(), request, job);
  }
  grpc::Status Get(const std::string& name, v1::Job* job) {
    v1::GetJobRequest request;
    request.set_name(name);
    return server_.jobs()->GetJob(Context().get(), request, job);
  }
  grpc::Status Cancel(const std::string& name, v1::Job* job) {
    v1::CancelJobRequest request;
    request.set_name(name);
    return server_.jobs()->CancelJob(Context().get(), request, job);
  }
  grpc::Status Delete(const std::string& name) {
    v1::DeleteJobRequest request;
    request.set_name(name);
    google::protobuf::Empty response;
    return server_.jobs()->DeleteJob(Context().get(), request, &response);
  }
  std::vector<std::string> List(const v1::ListJobsRequest& request, std::string* token = nullptr) {
    v1::ListJobsResponse response;
    const grpc::Status status = server_.jobs()->ListJobs(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (token != nullptr) *token = response.next_page_token();
    std::vector<std::string> names;
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
    return names;
  }

  TestServer server_;
};

// ---- Create
// -----------------------------------------------------------------------------------------

TEST_F(CompressionServiceTest, ANewJobIsQueuedWithItsDefaultsFilledIn) {
  const v1::Job job = server_.CreateJob();
  EXPECT_THAT(job.name(), testing::MatchesRegex("projects/a/jobs/j[a-z2-7]+"));
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_SUBMITTED);
  EXPECT_EQ(job.create_time().seconds(), 1700000000);
  EXPECT_EQ(job.spec().sequential_attention_pp().schedule_constant(), 4);
  EXPECT_EQ(job.spec().task().batch_size(), 128);
  EXPECT_EQ(job.last_sequence(), 1);

  v1::Job again;
  ASSERT_TRUE(Get(job.name(), &again).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(job, again));
}

TEST_F(CompressionServiceTest, TheSameRequestIdGivesTheSameJob) {
  const v1::CreateJobRequest request = server_.JobRequest("once");
  v1::Job first;
  v1::Job second;
  ASSERT_TRUE(Create(request, &first).ok());
  ASSERT_TRUE(Create(request, &second).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(first, second));
  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  EXPECT_THAT(List(list), ElementsAre(first.name()));
}

TEST_F(CompressionServiceTest, TheSameRequestIdGivesTheSameJobAfterARestart) {
  const v1::CreateJobRequest request = server_.JobRequest("once");
  v1::Job first;
  ASSERT_TRUE(Create(request, &first).ok());
  server_.Restart();
  v1::Job second;
  ASSERT_TRUE(Create(request, &second).ok());
  EXPECT_EQ(first.name(), second.name());
}

TEST_F(CompressionServiceTest, TheSameRequestIdWithAnotherSpecIsAnError) {
  v1::CreateJobRequest request = server_.JobRequest("once");
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  request.mutable_spec()->mutable_target()->set_sparsity(0.8);
  const grpc::Status status = Create(request, &job);
  EXPECT_EQ(status.error_code(), StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "REQUEST_ID_REUSED");
}

TEST_F(CompressionServiceTest, AWrongSpecIsRefusedWithEachFieldsPath) {
  v1::CreateJobRequest request = server_.JobRequest();
  request.mutable_spec()->mutable_target()->set_sparsity(1.5);
  request.mutable_spec()->mutable_task()->mutable_optimizer()->mutable_sgd()->set_momentum(2);
  v1::Job job;
  const grpc::Status status = Create(request, &job);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "INVALID_REQUEST");
  EXPECT_EQ(ErrorInfoOf(status).domain(), "topiary.v1");
  const google::rpc::BadRequest bad_request = BadRequestOf(status);
  ASSERT_EQ(bad_request.field_violations_size(), 2);
  EXPECT_EQ(bad_request.field_violations(0).field(), "spec.task.optimizer.sgd.momentum");
  EXPECT_EQ(bad_request.field_violations(1).field(), "spec.target.sparsity");
  EXPECT_THAT(status.error_message(), HasSubstr("spec.task.optimizer.sgd.momentum"));
}

TEST_F(CompressionServiceTest, AMissingArtifactIsNamed) {
  v1::CreateJobRequest request = server_.JobRequest();
  const std::string digest(64, 'e');
  request.mutable_spec()->mutable_data()->mutable_train()->mutable_npz()->set_digest(digest);
  v1::Job job;
  const grpc::Status status = Create(request, &job);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "ARTIFACT_MISSING");
  const google::rpc::PreconditionFailure failure = PreconditionFailureOf(status);
  ASSERT_EQ(failure.violations_size(), 1);
  EXPECT_EQ(failure.violations(0).type(), "MISSING");
  EXPECT_EQ(failure.violations(0).subject(), digest);
}

TEST_F(CompressionServiceTest, AnArtifactOfAnotherProjectIsMissing) {
  v1::CreateJobRequest request = server_.JobRequest();
  request.set_parent("projects/b");
  v1::Job job;
  EXPECT_EQ(ErrorInfoOf(Create(request, &job)).reason(), "ARTIFACT_MISSING");
}

TEST_F(CompressionServiceTest, ADryRunChecksAllAndCreatesNothing) {
  v1::CreateJobRequest request = server_.JobRequest();
  request.set_validate_only(true);
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  EXPECT_EQ(job.name(), "");
  EXPECT_EQ(job.state(), v1::JOB_STATE_UNSPECIFIED);
  EXPECT_EQ(job.spec().task().batch_size(), 128);
  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  EXPECT_THAT(List(list), IsEmpty());

  request.mutable_spec()->mutable_model()->mutable_files(0)->set_digest(std::string(64, 'e'));
  EXPECT_EQ(ErrorInfoOf(Create(request, &job)).reason(), "ARTIFACT_MISSING");
}

TEST(CompressionServiceLimits, AProjectMayHaveOnlySoManyLiveJobs) {
  TestServer server([](ServerConfig* config) { config->max_live_jobs = 2; });
  const v1::Job first = server.CreateJob();
  server.CreateJob();
  v1::Job job;
  const grpc::Status status = server.jobs()->CreateJob(Context().get(), server.JobRequest(), &job);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "TOO_MANY_JOBS");
  EXPECT_GT(RetryInfoOf(status).retry_delay().seconds(), 0);

  v1::CancelJobRequest cancel;
  cancel.set_name(first.name());
  ASSERT_TRUE(server.jobs()->CancelJob(Context().get(), cancel, &job).ok());
  EXPECT_TRUE(server.jobs()->CreateJob(Context().get(), server.JobRequest(), &job).ok());
}

// ---- Get, list, cancel, delete
// ------------------------------------------------------------------------

TEST_F(CompressionServiceTest, AnUnknownJobIsNotFound) {
  v1::Job job;
  for (const grpc::Status& status :
       {Get("projects/a/jobs/jx", &job), Cancel("projects/a/jobs/jx", &job),
        Delete("projects/a/jobs/jx")}) {
    EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "JOB_NOT_FOUND");
  }
}

TEST_F(CompressionServiceTest, AMalformedNameIsRefused) {
  v1::Job job;
  for (const grpc::Status& status :
       {Get("projects/a", &job), Cancel("", &job), Delete("projects/a/jobs/../b")}) {
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(BadRequestOf(status).field_violations(0).field(), "name");
  }
}

TEST_F(CompressionServiceTest, JobsAreListedNewestFirstInPages) {
  std::vector<std::string> created;
  for (int i = 0; i < 5; ++i) {
    server_.clock()->Advance(absl::Seconds(1));
    created.insert(created.begin(), server_.CreateJob().name());
  }
  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  list.set_page_size(2);
  std::vector<std::string> listed;
  int pages = 0;
  std::string token;
  do {
    list.set_page_token(token);
    for (const std::string& name : List(list, &token)) listed.push_back(name);
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(listed, created);
  EXPECT_EQ(pages, 3);
}

TEST_F(CompressionServiceTest, AListCanBeFilteredByStateAndLabels) {
  v1::CreateJobRequest labelled = server_.JobRequest();
  (*labelled.mutable_spec()->mutable_labels())["team"] = "vision";
  v1::Job with_label;
  ASSERT_TRUE(Create(labelled, &with_label).ok());
  const v1::Job without_label = server_.CreateJob();
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(without_label.name(), &cancelled).ok());

  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  (*list.mutable_labels())["team"] = "vision";
  EXPECT_THAT(List(list), ElementsAre(with_label.name()));
  list.clear_labels();
  list.add_states(v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(List(list), ElementsAre(without_label.name()));
}

TEST_F(CompressionServiceTest, AForgedPageTokenIsRefused) {
  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  list.set_page_token("forged");
  v1::ListJobsResponse response;
  EXPECT_EQ(server_.jobs()->ListJobs(Context().get(), list, &response).error_code(),
            StatusCode::INVALID_ARGUMENT);
}

TEST_F(CompressionServiceTest, AListOfLargeSpecsComesInSmallerPages) {
  v1::CreateJobRequest large = server_.JobRequest();
  for (int i = 0; i < 900; ++i) {
    large.mutable_spec()->mutable_target()->add_include_layers(std::string(250, 'x'));
  }
  v1::Job job;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Create(large, &job).ok());
  v1::ListJobsRequest list;
  list.set_parent("projects/a");
  size_t listed = 0;
  std::string token;
  do {
    list.set_page_token(token);
    listed += List(list, &token).size();
  } while (!token.empty());
  EXPECT_EQ(listed, 20u);
}

TEST_F(CompressionServiceTest, AQueuedJobIsCancelledAtOnceAndCancellingAgainChangesNothing) {
  const v1::Job job = server_.CreateJob();
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  EXPECT_EQ(cancelled.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(cancelled.reason(), v1::JOB_REASON_CANCEL_REQUESTED);
  EXPECT_TRUE(cancelled.has_end_time());
  v1::Job again;
  ASSERT_TRUE(Cancel(job.name(), &again).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(cancelled, again));
}

TEST_F(CompressionServiceTest, OnlyAFinishedJobCanBeDeleted) {
  const v1::Job job = server_.CreateJob();
  const grpc::Status too_early = Delete(job.name());
  EXPECT_EQ(too_early.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ErrorInfoOf(too_early).reason(), "JOB_NOT_FINISHED");
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  EXPECT_TRUE(Delete(job.name()).ok());
  EXPECT_EQ(Get(job.name(), &cancelled).error_code(), StatusCode::NOT_FOUND);
}

// ---- Watch
// ----------------------------------------------------------------------------------------------

class WatchJobTest : public CompressionServiceTest {
 protected:
  // A watch from the event after `after` on.
  struct Watch {
    std::unique_ptr<grpc::ClientContext> context = Context();
    std::unique_ptr<grpc::ClientReader<v1::JobEvent>> reader;

    v1::JobEvent Next() {
      v1::JobEvent event;
      EXPECT_TRUE(reader->Read(&event));
      return event;
    }
    // The status, after the events that are left.
    grpc::Status End() {
      v1::JobEvent event;
      while (reader->Read(&event)) {
      }
      return reader->Finish();
    }
  };

  Watch Begin(const std::string& name, int64_t after = 0) {
    v1::WatchJobRequest request;
    request.set_name(name);
    request.set_after_sequence(after);
    Watch watch;
    watch.reader = server_.jobs()->WatchJob(watch.context.get(), request);
    return watch;
  }
};

TEST_F(WatchJobTest, EventsComeAsTheyHappenAndTheStreamEndsWithTheJob) {
  const v1::Job job = server_.CreateJob();
  Watch watch = Begin(job.name());
  const v1::JobEvent submitted = watch.Next();
  EXPECT_EQ(submitted.sequence(), 1);
  EXPECT_EQ(submitted.state_change().state(), v1::JOB_STATE_QUEUED);

  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  const v1::JobEvent last = watch.Next();
  EXPECT_EQ(last.state_change().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(last.sequence(), cancelled.last_sequence());
  EXPECT_TRUE(watch.End().ok());
}

TEST_F(WatchJobTest, AWatchGoesOnFromASequenceNumber) {
  const v1::Job job = server_.CreateJob();
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  Watch watch = Begin(job.name(), 1);
  EXPECT_EQ(watch.Next().state_change().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_TRUE(watch.End().ok());
}

TEST_F(WatchJobTest, AWatchFromTheLastEventOfAFinishedJobEndsAtOnce) {
  const v1::Job job = server_.CreateJob();
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  EXPECT_TRUE(Begin(job.name(), cancelled.last_sequence()).End().ok());
}

TEST_F(WatchJobTest, AWatchOfAnUnknownJobIsNotFound) {
  const grpc::Status status = Begin("projects/a/jobs/jx").End();
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "JOB_NOT_FOUND");
}

TEST_F(WatchJobTest, AMalformedWatchIsRefused) {
  EXPECT_EQ(BadRequestOf(Begin("projects/a/jobs/jx", -1).End()).field_violations(0).field(),
            "after_sequence");
}

TEST_F(WatchJobTest, ManyWatchersSeeTheSameEvents) {
  const v1::Job job = server_.CreateJob();
  std::vector<Watch> watches;
  for (int i = 0; i < 20; ++i) watches.push_back(Begin(job.name()));
  for (Watch& watch : watches) EXPECT_EQ(watch.Next().sequence(), 1);
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  for (Watch& watch : watches) {
    EXPECT_EQ(watch.Next().sequence(), cancelled.last_sequence());
    EXPECT_TRUE(watch.End().ok());
  }
}

TEST_F(WatchJobTest, AWatcherThatGoesAwayDisturbsNobody) {
  const v1::Job job = server_.CreateJob();
  Watch leaving = Begin(job.name());
  Watch staying = Begin(job.name());
  leaving.Next();
  staying.Next();
  leaving.context->TryCancel();
  EXPECT_EQ(leaving.End().error_code(), StatusCode::CANCELLED);
  v1::Job cancelled;
  ASSERT_TRUE(Cancel(job.name(), &cancelled).ok());
  EXPECT_EQ(staying.Next().state_change().state(), v1::JOB_STATE_CANCELLED);
}

TEST(WatchJobLimits, TooManyStreamsAreRefusedAndRoomIsMadeWhenOneEnds) {
  TestServer server([](ServerConfig* config) { config->max_streams = 1; });
  const v1::Job job = server.CreateJob();
  v1::WatchJobRequest request;
  request.set_name(job.name());
  const auto first_context = Context();
  auto first = server.jobs()->WatchJob(first_context.get(), request);
  v1::JobEvent event;
  ASSERT_TRUE(first->Read(&event));

  const auto second_context = Context();
  auto second = server.jobs()->WatchJob(second_context.get(), request);
  EXPECT_FALSE(second->Read(&event));
  const grpc::Status refused = second->Finish();
  EXPECT_EQ(refused.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(refused).reason(), "SERVER_BUSY");
}

}  // namespace
}  // namespace topiary
