#include "server/api/worker_proto.h"

#include <string>

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/api/time_proto.h"

namespace topiary {
namespace {

using google::protobuf::TextFormat;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

WorkerReport ReportOf(const std::string& attempt) {
  v1::SynchronizeRequest request;
  EXPECT_TRUE(TextFormat::ParseFromString(
      "worker_id: 'w' attempts { job: 'projects/a/jobs/j' attempt: 2 token: 't' " + attempt + " }",
      &request));
  return FromProto(request, kNow);
}

TEST(WorkerProto, AReportNamesItsAttempt) {
  const WorkerReport report = ReportOf("phase: RUNNING");
  EXPECT_EQ(report.worker, "w");
  EXPECT_EQ(report.attempts[0].attempt.project, "a");
  EXPECT_EQ(report.attempts[0].attempt.job, "j");
  EXPECT_EQ(report.attempts[0].attempt.attempt, 2);
  EXPECT_EQ(report.attempts[0].attempt.token, "t");
  EXPECT_FALSE(report.attempts[0].progress.has_value());
  EXPECT_FALSE(report.attempts[0].outcome.has_value());
}

TEST(WorkerProto, ProgressGetsTheTimeOfItsArrival) {
  const WorkerReport report =
      ReportOf("phase: RUNNING progress { step: 5 update_time { seconds: 1 } }");
  v1::Progress progress;
  ASSERT_TRUE(progress.ParseFromString(report.attempts[0].progress.value()));
  EXPECT_EQ(progress.step(), 5);
  EXPECT_EQ(progress.update_time().seconds(), 1700000000);
}

TEST(WorkerProto, ACheckpointIsThatOfTheAttempt) {
  const WorkerReport report = ReportOf("phase: RUNNING checkpoint { digest: 'd' step: 9 }");
  ASSERT_TRUE(report.attempts[0].checkpoint.has_value());
  EXPECT_EQ(report.attempts[0].checkpoint->digest, "d");
  EXPECT_EQ(report.attempts[0].checkpoint->attempt, 2);
  EXPECT_EQ(report.attempts[0].checkpoint->step, 9);
}

TEST(WorkerProto, ASuccessHasItsResultAndItsOutputs) {
  const WorkerReport report = ReportOf(
      "phase: FINISHED outcome { succeeded { files { kind: ONNX digest: 'x' } files { kind: REPORT "
      "digest: 'r' } sparsity_reached: 0.9 } }");
  const AttemptOutcome& outcome = report.attempts[0].outcome.value();
  EXPECT_EQ(outcome.kind, AttemptOutcome::Kind::kSucceeded);
  EXPECT_THAT(outcome.outputs, testing::ElementsAre(ArtifactReference{"x", "onnx"},
                                                    ArtifactReference{"r", "report"}));
  v1::JobResult result;
  ASSERT_TRUE(result.ParseFromString(outcome.result));
  EXPECT_EQ(result.sparsity_reached(), 0.9);
}

TEST(WorkerProto, AFailureSaysWhetherARetryMayHelp) {
  const AttemptOutcome outcome =
      *ReportOf("phase: FINISHED outcome { failed { error { code: 12 message: 'operator Foo' } } }")
           .attempts[0]
           .outcome;
  EXPECT_EQ(outcome.kind, AttemptOutcome::Kind::kFailed);
  EXPECT_EQ(outcome.failure.code, absl::StatusCode::kUnimplemented);
  EXPECT_EQ(outcome.failure.message, "operator Foo");
  EXPECT_FALSE(outcome.retryable);
}

TEST(WorkerProto, ALongFailureMessageIsCut) {
  const AttemptOutcome outcome =
      *ReportOf("phase: FINISHED outcome { failed { error { code: 13 message: '" +
                std::string(10000, 'x') + "' } } }")
           .attempts[0]
           .outcome;
  EXPECT_EQ(outcome.failure.message.size(), 2048u);
}

TEST(WorkerProto, HandedBackAndStoppedAreTheirOwnOutcomes) {
  EXPECT_EQ(ReportOf("phase: FINISHED outcome { handed_back {} }").attempts[0].outcome->kind,
            AttemptOutcome::Kind::kHandedBack);
  EXPECT_EQ(ReportOf("phase: FINISHED outcome { stopped {} }").attempts[0].outcome->kind,
            AttemptOutcome::Kind::kCancelled);
}

TEST(WorkerProto, OrdersAndLeasesSayWhatTheWorkerNeeds) {
  WorkerOrders orders;
  orders.orders.push_back(
      {{"a", "j"}, 2, AttemptOrder::Action::kStop, AttemptOrder::Reason::kCancelled});
  LeaseGrant grant;
  grant.lease.attempt = {"a", "k", 3, "token"};
  v1::CompressionSpec spec;
  spec.set_priority(4);
  grant.job.spec = spec.SerializeAsString();
  grant.job.checkpoints.push_back({"newest", 2, 10, kNow});
  grant.job.checkpoints.push_back({"older", 2, 5, kNow});
  grant.job.determinism_key = DeterminismKey{"3.2.0", "avx2", 1, ""};
  orders.new_leases.push_back(grant);
  orders.lease_duration = absl::Seconds(30);
  orders.next_report = absl::Milliseconds(250);
  orders.coordinator_draining = true;

  ASSERT_OK_AND_ASSIGN(const v1::SynchronizeResponse response, ToProto(orders));
  EXPECT_EQ(response.orders(0).job(), "projects/a/jobs/j");
  EXPECT_EQ(response.orders(0).action(), v1::AttemptOrder::STOP);
  EXPECT_EQ(response.orders(0).reason(), v1::AttemptOrder::CANCELLED);
  const v1::Lease& lease = response.new_leases(0);
  EXPECT_EQ(lease.job(), "projects/a/jobs/k");
  EXPECT_EQ(lease.attempt(), 3);
  EXPECT_EQ(lease.token(), "token");
  EXPECT_EQ(lease.spec().priority(), 4);
  EXPECT_EQ(lease.checkpoint_digest(), "newest");
  EXPECT_EQ(lease.determinism_key().isa(), "avx2");
  EXPECT_EQ(lease.lease_duration().seconds(), 30);
  EXPECT_EQ(response.next_report().nanos(), 250000000);
  EXPECT_TRUE(response.coordinator_draining());
}

TEST(WorkerProto, ALeaseWithADamagedSpecIsDataLoss) {
  WorkerOrders orders;
  LeaseGrant grant;
  grant.job.spec = "\xff\xff";
  orders.new_leases.push_back(grant);
  EXPECT_THAT(ToProto(orders), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(WorkerProto, AWorkerIsShownWithItsJobs) {
  WorkerInfo info;
  info.id = "w";
  info.state = WorkerInfo::State::kBusy;
  info.jobs = {{"a", "j"}};
  info.last_report_time = kNow;
  info.drain_requested = true;
  const v1::Worker worker = ToProto(info);
  EXPECT_EQ(worker.name(), "workers/w");
  EXPECT_EQ(worker.state(), v1::Worker::BUSY);
  EXPECT_THAT(worker.jobs(), testing::ElementsAre("projects/a/jobs/j"));
  EXPECT_EQ(worker.last_report_time().seconds(), 1700000000);
  EXPECT_TRUE(worker.drain_requested());
}

}  // namespace
}  // namespace topiary
