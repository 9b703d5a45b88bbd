#include <chrono>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/test_server.h"

// WorkerService and AdminService over a real socket, with the real store behind them.
namespace topiary {
namespace {

using grpc::StatusCode;
using Order = v1::AttemptOrder;

class WorkerServiceTest : public testing::Test {
 protected:
  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(server_.jobs()->GetJob(Context().get(), request, &job).ok());
    return job;
  }
  void Cancel(const std::string& name) {
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(server_.jobs()->CancelJob(Context().get(), request, &job).ok());
  }
  // Creates a job and leases it to `worker`.
  v1::Lease LeaseTo(const std::string& worker) {
    server_.CreateJob();
    const v1::SynchronizeResponse response = server_.Synchronize(server_.IdleWorker(worker));
    EXPECT_EQ(response.new_leases_size(), 1);
    return response.new_leases(0);
  }
  v1::SynchronizeRequest Finished(const std::string& worker, const v1::Lease& lease) {
    v1::SynchronizeRequest request = server_.Running(worker, lease);
    request.mutable_attempts(0)->set_phase(v1::AttemptReport::FINISHED);
    return request;
  }
  // An outcome with a report that is stored.
  v1::SynchronizeRequest Succeeded(const std::string& worker, const v1::Lease& lease) {
    v1::SynchronizeRequest request = Finished(worker, lease);
    v1::JobResult* result = request.mutable_attempts(0)->mutable_outcome()->mutable_succeeded();
    v1::ResultFile* file = result->add_files();
    file->set_kind(v1::ResultFile::REPORT);
    file->set_filename("report.json");
    file->set_digest(server_.Upload("{}"));
    file->set_size_bytes(2);
    result->set_sparsity_reached(0.9);
    result->set_bit_exact(true);
    return request;
  }

  TestServer server_;
};

TEST_F(WorkerServiceTest, AnIdleWorkerIsLeasedTheJobWithAllThatItNeeds) {
  const v1::Job job = server_.CreateJob();
  const v1::SynchronizeResponse response = server_.Synchronize(server_.IdleWorker("w"));
  ASSERT_EQ(response.new_leases_size(), 1);
  const v1::Lease& lease = response.new_leases(0);
  EXPECT_EQ(lease.job(), job.name());
  EXPECT_EQ(lease.attempt(), 1);
  EXPECT_GE(lease.token().size(), 16u);
  EXPECT_EQ(lease.spec().SerializeAsString(), job.spec().SerializeAsString());
  EXPECT_EQ(lease.checkpoint_digest(), "");
  EXPECT_EQ(lease.lease_duration().seconds(), 30);
  EXPECT_EQ(response.next_report().nanos(), 50000000);
  const v1::Job running = Get(job.name());
  EXPECT_EQ(running.state(), v1::JOB_STATE_RUNNING);
  ASSERT_EQ(running.attempts_size(), 1);
  EXPECT_EQ(running.attempts(0).worker_id(), "w");
}

TEST_F(WorkerServiceTest, ALeaseThatTheAnswerLostIsHandedOutAgain) {
  const v1::Lease lease = LeaseTo("w");
  const v1::SynchronizeResponse again = server_.Synchronize(server_.IdleWorker("w"));
  ASSERT_EQ(again.new_leases_size(), 1);
  EXPECT_EQ(again.new_leases(0).SerializeAsString(), lease.SerializeAsString());
  EXPECT_EQ(server_.Synchronize(server_.IdleWorker("other")).new_leases_size(), 0);
}

TEST_F(WorkerServiceTest, AHeldCallIsAnsweredWhenThereIsWork) {
  v1::SynchronizeRequest request = server_.IdleWorker("w");
  request.mutable_poll_timeout()->set_seconds(20);
  v1::SynchronizeResponse response;
  std::thread worker([&] { response = server_.Synchronize(request); });
  const v1::Job job = server_.CreateJob();
  worker.join();
  ASSERT_EQ(response.new_leases_size(), 1);
  EXPECT_EQ(response.new_leases(0).job(), job.name());
}

TEST_F(WorkerServiceTest, ACallWithoutAPollIsAnsweredAtOnce) {
  EXPECT_EQ(server_.Synchronize(server_.IdleWorker("w")).new_leases_size(), 0);
}

TEST_F(WorkerServiceTest, ProgressIsSeenByClients) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = server_.Running("w", lease);
  v1::Progress* progress = report.mutable_attempts(0)->mutable_progress();
  progress->set_phase("dense");
  progress->set_step(7);
  progress->set_total_steps(100);
  (*progress->mutable_metrics())["accuracy"] = 0.5;
  const v1::SynchronizeResponse response = server_.Synchronize(report);
  ASSERT_EQ(response.orders_size(), 1);
  EXPECT_EQ(response.orders(0).action(), Order::CONTINUE);
  const v1::Job job = Get(lease.job());
  EXPECT_EQ(job.progress().step(), 7);
  EXPECT_EQ(job.progress().metrics().at("accuracy"), 0.5);
  EXPECT_EQ(job.progress().update_time().seconds(), 1700000000);
}

TEST_F(WorkerServiceTest, ASuccessIsRecordedOnceAndItsResultShown) {
  const v1::Lease lease = LeaseTo("w");
  const v1::SynchronizeRequest report = Succeeded("w", lease);
  for (int i = 0; i < 2; ++i) {  // an outcome is repeated until the worker hears FORGET
    const v1::SynchronizeResponse response = server_.Synchronize(report);
    ASSERT_EQ(response.orders_size(), 1);
    EXPECT_EQ(response.orders(0).action(), Order::FORGET);
    EXPECT_EQ(response.orders(0).reason(), Order::RECORDED);
  }
  const v1::Job job = Get(lease.job());
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_COMPLETED);
  EXPECT_EQ(job.result().sparsity_reached(), 0.9);
  EXPECT_TRUE(job.result().bit_exact());
  ASSERT_EQ(job.result().files_size(), 1);
  EXPECT_EQ(job.result().files(0).filename(), "report.json");
}

TEST_F(WorkerServiceTest, AnOutcomeAfterTheRestartOfTheCoordinatorIsRecorded) {
  const v1::Lease lease = LeaseTo("w");
  const v1::SynchronizeRequest report = Succeeded("w", lease);
  server_.Restart();
  EXPECT_EQ(server_.Synchronize(server_.Running("w", lease)).orders(0).action(), Order::CONTINUE);
  EXPECT_EQ(server_.Synchronize(report).orders(0).reason(), Order::RECORDED);
  EXPECT_EQ(Get(lease.job()).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(WorkerServiceTest, AFailureThatARetryCannotMendFailsTheJobWithItsError) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = Finished("w", lease);
  v1::Failure* failure = report.mutable_attempts(0)->mutable_outcome()->mutable_failed();
  failure->mutable_error()->set_code(12);
  failure->mutable_error()->set_message("operator LSTM of node lstm_1 is not supported");
  EXPECT_EQ(server_.Synchronize(report).orders(0).action(), Order::FORGET);
  const v1::Job job = Get(lease.job());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_WORK_FAILED);
  EXPECT_EQ(job.error().code(), 12);
  EXPECT_EQ(job.error().message(), "operator LSTM of node lstm_1 is not supported");
}

TEST_F(WorkerServiceTest, AnAccuracyBoundThatNothingMeetsFailsTheJobAndLeavesItsFiles) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = Finished("w", lease);
  v1::Failure* failure = report.mutable_attempts(0)->mutable_outcome()->mutable_failed();
  failure->mutable_error()->set_code(9);
  failure->mutable_error()->set_message("no pruned model has an accuracy of at least 0.9");
  failure->set_reason(v1::JOB_REASON_ACCURACY_BOUND);
  v1::ResultFile* file = failure->mutable_result()->add_files();
  file->set_kind(v1::ResultFile::CHECKPOINT);
  file->set_filename("checkpoint");
  file->set_digest(server_.Upload("state"));
  file->set_size_bytes(5);
  EXPECT_EQ(server_.Synchronize(report).orders(0).reason(), Order::RECORDED);
  server_.Restart();
  const v1::Job job = Get(lease.job());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_ACCURACY_BOUND);
  EXPECT_EQ(job.error().code(), 9);
  ASSERT_EQ(job.result().files_size(), 1);
  EXPECT_EQ(job.result().files(0).kind(), v1::ResultFile::CHECKPOINT);
}

TEST_F(WorkerServiceTest, AReasonOfAFailureThatNoWorkerHasIsRefused) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = Finished("w", lease);
  v1::Failure* failure = report.mutable_attempts(0)->mutable_outcome()->mutable_failed();
  failure->mutable_error()->set_code(9);
  v1::SynchronizeResponse response;
  for (const v1::JobReason reason :
       {v1::JOB_REASON_COMPLETED, v1::JOB_REASON_ACCURACY_BOUND /* without a result */}) {
    failure->set_reason(reason);
    EXPECT_EQ(server_.workers()->Synchronize(Context().get(), report, &response).error_code(),
              StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(WorkerServiceTest, AFailureThatMayPassIsTriedAgainAfterABackoff) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = Finished("w", lease);
  v1::Failure* failure = report.mutable_attempts(0)->mutable_outcome()->mutable_failed();
  failure->mutable_error()->set_code(8);
  failure->set_retryable(true);
  server_.Synchronize(report);
  const v1::Job job = Get(lease.job());
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_ATTEMPT_FAILED);
  EXPECT_TRUE(job.has_retry_time());
  EXPECT_EQ(server_.Synchronize(server_.IdleWorker("w")).new_leases_size(), 0);
  server_.clock()->Advance(absl::Minutes(1));
  const v1::SynchronizeResponse retry = server_.Synchronize(server_.IdleWorker("w"));
  ASSERT_EQ(retry.new_leases_size(), 1);
  EXPECT_EQ(retry.new_leases(0).attempt(), 2);
}

TEST_F(WorkerServiceTest, AnAttemptHandedBackIsLeasedAgainAtOnceWithItsCheckpoint) {
  const v1::Lease lease = LeaseTo("w");
  const std::string checkpoint = server_.Upload("training state");
  v1::SynchronizeRequest running = server_.Running("w", lease);
  running.mutable_attempts(0)->mutable_checkpoint()->set_digest(checkpoint);
  running.mutable_attempts(0)->mutable_checkpoint()->set_step(40);
  v1::DeterminismKey* key = running.mutable_attempts(0)->mutable_determinism_key();
  key->set_onednn_version("3.2.0");
  key->set_isa("avx2");
  key->set_threads(1);
  EXPECT_EQ(server_.Synchronize(running).orders(0).action(), Order::CONTINUE);

  v1::SynchronizeRequest report = Finished("w", lease);
  report.set_draining(true);
  report.mutable_attempts(0)->mutable_outcome()->mutable_handed_back();
  EXPECT_EQ(server_.Synchronize(report).orders(0).action(), Order::FORGET);

  const v1::SynchronizeResponse next = server_.Synchronize(server_.IdleWorker("v"));
  ASSERT_EQ(next.new_leases_size(), 1);
  EXPECT_EQ(next.new_leases(0).attempt(), 2);
  EXPECT_EQ(next.new_leases(0).checkpoint_digest(), checkpoint);
  EXPECT_EQ(next.new_leases(0).determinism_key().isa(), "avx2");
}

TEST_F(WorkerServiceTest, ACancelledJobStopsWithTheNextReport) {
  const v1::Lease lease = LeaseTo("w");
  Cancel(lease.job());
  EXPECT_TRUE(Get(lease.job()).cancel_requested());
  const v1::SynchronizeResponse response = server_.Synchronize(server_.Running("w", lease));
  EXPECT_EQ(response.orders(0).action(), Order::STOP);
  EXPECT_EQ(response.orders(0).reason(), Order::CANCELLED);
  v1::SynchronizeRequest report = Finished("w", lease);
  report.mutable_attempts(0)->mutable_outcome()->mutable_stopped();
  EXPECT_EQ(server_.Synchronize(report).orders(0).action(), Order::FORGET);
  EXPECT_EQ(Get(lease.job()).state(), v1::JOB_STATE_CANCELLED);
}

TEST_F(WorkerServiceTest, AForgedTokenIsOfNoUse) {
  v1::Lease lease = LeaseTo("w");
  lease.set_token("forged");
  const v1::SynchronizeResponse response = server_.Synchronize(Succeeded("thief", lease));
  ASSERT_EQ(response.orders_size(), 1);
  EXPECT_NE(response.orders(0).action(), Order::CONTINUE);
  EXPECT_NE(response.orders(0).reason(), Order::RECORDED);
  EXPECT_EQ(Get(lease.job()).state(), v1::JOB_STATE_RUNNING);
}

TEST_F(WorkerServiceTest, AReportOfAJobThatIsGoneIsStoppedOrForgotten) {
  v1::Lease lease = LeaseTo("w");
  lease.set_job("projects/a/jobs/jgone");
  const v1::SynchronizeResponse response = server_.Synchronize(server_.Running("w", lease));
  ASSERT_EQ(response.orders_size(), 1);
  EXPECT_NE(response.orders(0).action(), Order::CONTINUE);
  EXPECT_EQ(response.orders(0).reason(), Order::JOB_GONE);
}

TEST_F(WorkerServiceTest, ASuccessWhoseFilesAreNotStoredIsAFailedAttempt) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = Succeeded("w", lease);
  report.mutable_attempts(0)->mutable_outcome()->mutable_succeeded()->mutable_files(0)->set_digest(
      std::string(64, 'e'));
  EXPECT_EQ(server_.Synchronize(report).orders(0).action(), Order::FORGET);
  const v1::Job job = Get(lease.job());
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_ATTEMPT_FAILED);
  EXPECT_EQ(job.attempts(0).state(), v1::Attempt::FAILED);
  EXPECT_THAT(job.attempts(0).error().message(), testing::HasSubstr(std::string(64, 'e')));
}

TEST_F(WorkerServiceTest, AMalformedReportChangesNothing) {
  const v1::Lease lease = LeaseTo("w");
  v1::SynchronizeRequest report = Succeeded("w", lease);
  report.mutable_attempts(0)->set_phase(v1::AttemptReport::RUNNING);
  v1::SynchronizeResponse response;
  const grpc::Status status = server_.workers()->Synchronize(Context().get(), report, &response);
  EXPECT_EQ(BadRequestOf(status).field_violations(0).field(), "attempts[0].outcome");
  EXPECT_EQ(Get(lease.job()).state(), v1::JOB_STATE_RUNNING);
}

// ---- Administration
// -----------------------------------------------------------------------------------

TEST_F(WorkerServiceTest, WorkersAreListedInPagesWithWhatTheyDo) {
  const v1::Lease lease = LeaseTo("w1");
  server_.Synchronize(server_.Running("w1", lease));
  server_.Synchronize(server_.IdleWorker("w2"));
  v1::ListWorkersRequest request;
  request.set_page_size(1);
  v1::ListWorkersResponse page;
  ASSERT_TRUE(server_.admin()->ListWorkers(Context().get(), request, &page).ok());
  ASSERT_EQ(page.workers_size(), 1);
  EXPECT_EQ(page.workers(0).name(), "workers/w1");
  EXPECT_EQ(page.workers(0).state(), v1::Worker::BUSY);
  EXPECT_THAT(page.workers(0).jobs(), testing::ElementsAre(lease.job()));
  EXPECT_EQ(page.workers(0).capabilities().isa(), "avx2");
  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(server_.admin()->ListWorkers(Context().get(), request, &page).ok());
  ASSERT_EQ(page.workers_size(), 1);
  EXPECT_EQ(page.workers(0).name(), "workers/w2");
  EXPECT_EQ(page.workers(0).state(), v1::Worker::IDLE);
  EXPECT_EQ(page.next_page_token(), "");
}

TEST_F(WorkerServiceTest, AWorkerThatIsToDrainHearsItAndGetsNoWork) {
  server_.Synchronize(server_.IdleWorker("w"));
  v1::DrainWorkerRequest drain;
  drain.set_name("workers/w");
  v1::Worker worker;
  ASSERT_TRUE(server_.admin()->DrainWorker(Context().get(), drain, &worker).ok());
  EXPECT_TRUE(worker.drain_requested());
  server_.CreateJob();
  const v1::SynchronizeResponse response = server_.Synchronize(server_.IdleWorker("w"));
  EXPECT_TRUE(response.drain());
  EXPECT_EQ(response.new_leases_size(), 0);
}

TEST_F(WorkerServiceTest, DrainingAnUnknownWorkerIsNotFound) {
  v1::DrainWorkerRequest drain;
  drain.set_name("workers/nobody");
  v1::Worker worker;
  const grpc::Status status = server_.admin()->DrainWorker(Context().get(), drain, &worker);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "WORKER_NOT_FOUND");
  drain.set_name("nobody");
  EXPECT_EQ(server_.admin()->DrainWorker(Context().get(), drain, &worker).error_code(),
            StatusCode::INVALID_ARGUMENT);
}

}  // namespace
}  // namespace topiary
