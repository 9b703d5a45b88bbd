#include "server/api/job_proto.h"

#include <string>
#include <vector>

#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/api/time_proto.h"

namespace topiary {
namespace {

using google::protobuf::TextFormat;
using testing::ElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

v1::CompressionSpec SpecFrom(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

TEST(JobProto, ASpecGivesWhatTheStoreAndTheSchedulerNeed) {
  const Job job = JobFromSpec(
      SpecFrom(R"(priority: 7 deadline { seconds: 60 } labels { key: "team" value: "vision" }
                  placement { threads: 2 memory_bytes: 1000 }
                  retry { max_attempts: 5 initial_backoff { nanos: 500000000 }
                          maximum_backoff { seconds: 9 } }
                  outputs { keep_checkpoint: true })"),
      kNow);
  EXPECT_EQ(job.priority, 7);
  EXPECT_EQ(job.deadline, kNow + absl::Minutes(1));
  EXPECT_EQ(job.labels.at("team"), "vision");
  EXPECT_EQ(job.placement.threads, 2);
  EXPECT_EQ(job.placement.memory_bytes, 1000);
  EXPECT_EQ(job.retry.max_attempts, 5);
  EXPECT_EQ(job.retry.initial_backoff, absl::Milliseconds(500));
  EXPECT_EQ(job.retry.maximum_backoff, absl::Seconds(9));
  EXPECT_TRUE(job.keep_checkpoints);
  EXPECT_FALSE(job.placement.bfloat16);
}

TEST(JobProto, APrecisionOfBfloat16IsADemandOnTheWorker) {
  EXPECT_TRUE(JobFromSpec(SpecFrom("task { precision: BFLOAT16 }"), kNow).placement.bfloat16);
  EXPECT_FALSE(JobFromSpec(SpecFrom("task { precision: FLOAT32 }"), kNow).placement.bfloat16);
}

TEST(JobProto, AJobWithoutDeadlineNeverExpires) {
  EXPECT_EQ(JobFromSpec(v1::CompressionSpec(), kNow).deadline, absl::InfiniteFuture());
}

TEST(JobProto, InputsAreEachArtifactOnceWithItsRole) {
  const v1::CompressionSpec spec = SpecFrom(R"(
      model { files { digest: "m1" } files { digest: "m2" } }
      data { train { idx { images_digest: "d1" labels_digest: "d2" } }
             evaluation { csv { digest: "d1" } } })");
  EXPECT_THAT(InputsOf(spec),
              ElementsAre(ArtifactReference{"m1", "model"}, ArtifactReference{"m2", "model"},
                          ArtifactReference{"d1", "data"}, ArtifactReference{"d2", "data"}));
}

TEST(JobProto, EqualSpecsAreStoredAsEqualBytes) {
  v1::CompressionSpec a;
  v1::CompressionSpec b;
  for (int i = 0; i < 50; ++i) (*a.mutable_labels())["k" + std::to_string(i)] = "v";
  for (int i = 49; i >= 0; --i) (*b.mutable_labels())["k" + std::to_string(i)] = "v";
  EXPECT_EQ(JobFromSpec(a, kNow).spec, JobFromSpec(b, kNow).spec);
}

TEST(JobProto, AQueuedJobShowsItsRetryAndWhatTheLastAttemptFailedOf) {
  Job job = JobFromSpec(v1::CompressionSpec(), kNow);
  job.project = "a";
  job.id = "j";
  job.reason = JobReason::kAttemptFailed;
  job.last_attempt = 1;
  job.queue_time = kNow;
  job.eligible_time = kNow + absl::Seconds(4);
  job.start_time = kNow - absl::Seconds(10);
  job.failure = {absl::StatusCode::kResourceExhausted, "disk full"};
  ASSERT_OK_AND_ASSIGN(const v1::Job proto, ToProto(job, {}));
  EXPECT_EQ(proto.name(), "projects/a/jobs/j");
  EXPECT_EQ(proto.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(proto.reason(), v1::JOB_REASON_ATTEMPT_FAILED);
  EXPECT_EQ(proto.retry_time().seconds(), 1700000004);
  EXPECT_EQ(proto.start_time().seconds(), 1699999990);
  EXPECT_FALSE(proto.has_end_time());
  EXPECT_EQ(proto.error().code(), 8);
  EXPECT_EQ(proto.error().message(), "disk full");
  EXPECT_FALSE(proto.has_result());
}

TEST(JobProto, AResultIsBitExactOnlyIfAllAttemptsWere) {
  Job job = JobFromSpec(v1::CompressionSpec(), kNow);
  job.state = JobState::kSucceeded;
  v1::JobResult result;
  result.set_bit_exact(true);
  job.result = result.SerializeAsString();
  ASSERT_OK_AND_ASSIGN(const v1::Job exact, ToProto(job, {}));
  EXPECT_TRUE(exact.result().bit_exact());
  job.bit_exact = false;
  ASSERT_OK_AND_ASSIGN(const v1::Job inexact, ToProto(job, {}));
  EXPECT_FALSE(inexact.result().bit_exact());
}

TEST(JobProto, AttemptsShowHowTheyEnded) {
  Attempt lost;
  lost.number = 1;
  lost.worker = "w";
  lost.state = AttemptState::kLost;
  lost.start_time = kNow;
  lost.end_time = kNow + absl::Seconds(30);
  lost.failure = {absl::StatusCode::kAborted, "lease lost"};
  Attempt running;
  running.number = 2;
  ASSERT_OK_AND_ASSIGN(const v1::Job proto,
                       ToProto(JobFromSpec(v1::CompressionSpec(), kNow), {lost, running}));
  ASSERT_EQ(proto.attempts_size(), 2);
  EXPECT_EQ(proto.attempts(0).state(), v1::Attempt::LOST);
  EXPECT_EQ(proto.attempts(0).error().code(), 10);
  EXPECT_EQ(proto.attempts(0).end_time().seconds(), 1700000030);
  EXPECT_EQ(proto.attempts(1).state(), v1::Attempt::RUNNING);
  EXPECT_FALSE(proto.attempts(1).has_end_time());
}

TEST(JobProto, ADamagedRecordIsDataLoss) {
  Job job;
  job.spec = "\xff\xff";
  EXPECT_THAT(ToProto(job, {}), StatusIs(absl::StatusCode::kDataLoss));
  JobEvent event;
  event.kind = JobEvent::Kind::kProgress;
  event.progress = "\xff\xff";
  EXPECT_THAT(ToProto(event), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(JobProto, ASweepShowsItsChildrenAndAChildItsSweep) {
  Job sweep = JobFromSpec(v1::CompressionSpec(), kNow);
  sweep.project = "a";
  sweep.id = "s";
  sweep.children = 10;
  sweep.child_counts = {1, 2, 3, 0, 4};
  sweep.state = JobState::kRunning;
  ASSERT_OK_AND_ASSIGN(const v1::Job proto, ToProto(sweep, {}));
  EXPECT_EQ(proto.parent_job(), "");
  EXPECT_EQ(proto.children().total(), 10);
  EXPECT_EQ(proto.children().queued(), 1);
  EXPECT_EQ(proto.children().running(), 2);
  EXPECT_EQ(proto.children().succeeded(), 3);
  EXPECT_EQ(proto.children().failed(), 0);
  EXPECT_EQ(proto.children().cancelled(), 4);
  EXPECT_EQ(proto.progress().phase(), "sweep");
  EXPECT_EQ(proto.progress().step(), 7);
  EXPECT_EQ(proto.progress().total_steps(), 10);

  Job child = JobFromSpec(v1::CompressionSpec(), kNow);
  child.project = "a";
  child.id = "s-0001";
  child.parent = "s";
  ASSERT_OK_AND_ASSIGN(const v1::Job child_proto, ToProto(child, {}));
  EXPECT_EQ(child_proto.parent_job(), "projects/a/jobs/s");
  EXPECT_FALSE(child_proto.has_children());
  EXPECT_FALSE(child_proto.has_progress());

  JobEvent event;
  event.sequence = 4;
  event.kind = JobEvent::Kind::kChildren;
  event.children_ended = 7;
  event.children = 10;
  ASSERT_OK_AND_ASSIGN(const v1::JobEvent event_proto, ToProto(event));
  EXPECT_EQ(event_proto.sequence(), 4);
  EXPECT_EQ(event_proto.progress().step(), 7);
  EXPECT_EQ(event_proto.progress().total_steps(), 10);
}

TEST(JobProto, ACancelledSweepShowsWhatItHasReported) {
  Job sweep = JobFromSpec(v1::CompressionSpec(), kNow);
  sweep.children = 2;
  sweep.state = JobState::kCancelled;
  v1::JobResult result;
  result.add_files()->set_filename("report.json");
  sweep.result = result.SerializeAsString();
  ASSERT_OK_AND_ASSIGN(const v1::Job proto, ToProto(sweep, {}));
  EXPECT_EQ(proto.result().files_size(), 1);
}

TEST(JobProto, EventsAreStateChangesOrProgress) {
  JobEvent change;
  change.sequence = 3;
  change.time = kNow;
  change.state = JobState::kFailed;
  change.reason = JobReason::kWorkFailed;
  change.attempt = 2;
  change.worker = "w";
  change.failure = {absl::StatusCode::kUnimplemented, "operator Foo"};
  ASSERT_OK_AND_ASSIGN(const v1::JobEvent proto, ToProto(change));
  EXPECT_EQ(proto.sequence(), 3);
  EXPECT_EQ(proto.state_change().state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(proto.state_change().reason(), v1::JOB_REASON_WORK_FAILED);
  EXPECT_EQ(proto.state_change().error().message(), "operator Foo");

  JobEvent progress;
  progress.kind = JobEvent::Kind::kProgress;
  v1::Progress inner;
  inner.set_step(41);
  progress.progress = inner.SerializeAsString();
  ASSERT_OK_AND_ASSIGN(const v1::JobEvent progress_proto, ToProto(progress));
  EXPECT_EQ(progress_proto.progress().step(), 41);
}

TEST(TimeProto, TimesBeforeTheEpochHaveNanosThatCountUp) {
  const google::protobuf::Timestamp proto =
      TimeToProto(absl::UnixEpoch() - absl::Milliseconds(250));
  EXPECT_EQ(proto.seconds(), -1);
  EXPECT_EQ(proto.nanos(), 750000000);
}

TEST(TimeProto, DurationsGoBothWays) {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Milliseconds(1500), absl::Nanoseconds(1), absl::Hours(720)}) {
    EXPECT_EQ(DurationFromProto(DurationToProto(duration)), duration);
  }
}

}  // namespace
}  // namespace topiary
