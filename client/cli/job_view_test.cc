#include "client/cli/job_view.h"

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

const absl::TimeZone kUtc = absl::UTCTimeZone();
const absl::Time kNow = absl::FromUnixSeconds(1000);

TEST(JobText, ShowsStateFilesMetricsAndSparsity) {
  const auto job = FromText<v1::Job>(R"(
    name: "projects/p/jobs/j7" state: JOB_STATE_SUCCEEDED reason: JOB_REASON_COMPLETED
    create_time { seconds: 0 } start_time { seconds: 5 } end_time { seconds: 65 }
    spec { magnitude {} labels { key: "team" value: "vision" } }
    result {
      files { filename: "model.onnx" digest: "abcd" size_bytes: 2048 }
      given_metrics { key: "accuracy" value: 0.1 }
      pruned_metrics { key: "accuracy" value: 0.9 }
      sparsity_requested: 0.9 sparsity_reached: 0.875
    })");
  const std::string text = JobText(job, kUtc);
  EXPECT_THAT(text, HasSubstr("state       succeeded (completed)"));
  EXPECT_THAT(text, HasSubstr("labels      team=vision"));
  EXPECT_THAT(text, HasSubstr("started     1970-01-01 00:00:05"));
  EXPECT_THAT(text, HasSubstr("87.50 % (requested 90.00 % of the blocks)"));
  EXPECT_THAT(text, HasSubstr("accuracy   10.00 %      -  90.00 %"));
  auto structured = job;
  structured.mutable_spec()->mutable_target()->set_structure(
      v1::PruningTarget::EMBEDDING_DIMENSIONS);
  EXPECT_THAT(JobText(structured, kUtc),
              HasSubstr("87.50 % (requested 90.00 % of the embedding dimensions)"));
  EXPECT_THAT(text, HasSubstr("model.onnx  2.0 KiB  abcd"));
}

TEST(JobText, ShowsAttemptsAndTheErrorOfAFailedJob) {
  const auto job = FromText<v1::Job>(R"(
    name: "projects/p/jobs/j" state: JOB_STATE_FAILED reason: JOB_REASON_WORK_FAILED
    end_time { seconds: 1 }
    attempts { number: 1 state: LOST worker_id: "w1" }
    attempts { number: 2 state: FAILED worker_id: "w2" error { message: "no such operator" } }
    error { code: 12 message: "node n1: operator Foo is not supported" })");
  const std::string text = JobText(job, kUtc);
  EXPECT_THAT(text, HasSubstr("error       node n1: operator Foo is not supported"));
  EXPECT_THAT(text, HasSubstr("1  lost    w1"));
  EXPECT_THAT(text, HasSubstr("2  failed  w2"));
}

TEST(JobText, AQueuedJobHasNoEmptyLines) {
  const auto job = FromText<v1::Job>("name: 'projects/p/jobs/j' state: JOB_STATE_QUEUED");
  EXPECT_THAT(JobText(job, kUtc), Not(HasSubstr("\n\n")));
}

TEST(JobText, ASweepShowsItsListsAndHowItsChildrenFare) {
  const auto sweep = FromText<v1::Job>(R"(
    name: "projects/p/jobs/s" state: JOB_STATE_RUNNING reason: JOB_REASON_CHILDREN_RUNNING
    spec { sweep { sparsities: [0.5, 0.9] } }
    children { total: 12 queued: 3 running: 2 succeeded: 7 })");
  const std::string text = JobText(sweep, kUtc);
  EXPECT_THAT(text, HasSubstr("state       running (children_running)"));
  EXPECT_THAT(text, HasSubstr("sparsities  50.00 %, 90.00 %"));
  EXPECT_THAT(text, HasSubstr("children    12: 3 queued, 2 running, 7 succeeded"));
  const auto child =
      FromText<v1::Job>("name: 'projects/p/jobs/s-0001' parent_job: 'projects/p/jobs/s'");
  EXPECT_THAT(JobText(child, kUtc), HasSubstr("sweep       s\n"));
}

TEST(JobTable, HasOneRowPerJob) {
  const auto running = FromText<v1::Job>(R"(
    name: "projects/p/jobs/j1" state: JOB_STATE_RUNNING spec { dense {} }
    create_time { seconds: 900 } start_time { seconds: 940 }
    progress { step: 5 total_steps: 10 sparsity: 0.25 })");
  const auto queued = FromText<v1::Job>(
      "name: 'projects/p/jobs/j2' state: JOB_STATE_QUEUED create_time { seconds: 990 }");
  EXPECT_EQ(JobTable({running, queued}, kNow),
            "job  state    method  step  sparsity   age   ran  labels\n"
            "---  -------  ------  ----  --------  ----  ----  ------\n"
            "j1   running  dense   5/10   25.00 %  1:40  1:00\n"
            "j2   queued              -         -  0:10     -\n");
}

TEST(StateLine, NamesAttemptWorkerAndError) {
  const auto event = FromText<v1::JobEvent>(R"(
    sequence: 2 time { seconds: 3661 }
    state_change { state: JOB_STATE_QUEUED reason: JOB_REASON_ATTEMPT_FAILED attempt: 1
                   worker_id: "w1" error { message: "disk full" } })");
  EXPECT_EQ(StateLine(event, kUtc),
            "01:01:01  queued  attempt_failed, attempt 1 on worker w1: disk full");
}

TEST(ViewOf, KeepsTheLastKnownAccuracyAndLoss) {
  const ProgressView first =
      ViewOf(FromText<v1::Progress>(
                 "phase: 'dense' step: 1 loss: 0.5 metrics { key: 'accuracy' value: 0.8 }"),
             ProgressView());
  const ProgressView second =
      ViewOf(FromText<v1::Progress>("phase: 'sparse' step: 2 remaining { seconds: 9 }"), first);
  EXPECT_EQ(second.phase, "sparse");
  EXPECT_EQ(second.step, 2);
  EXPECT_EQ(second.accuracy, 0.8);
  EXPECT_EQ(second.loss, 0.5);
  EXPECT_EQ(second.remaining, absl::Seconds(9));
}

TEST(WorkerTable, ShowsUsedSlotsAndSilence) {
  const auto worker = FromText<v1::Worker>(R"(
    name: "workers/w1" state: BUSY jobs: "projects/p/jobs/j1" last_report_time { seconds: 995 }
    capabilities { slots: 2 threads: 1 isa: "avx2" version: "0.1.0" })");
  EXPECT_THAT(WorkerTable({worker}, kNow), HasSubstr("w1      busy     1/2        1  avx2  0.1.0"));
}

TEST(ArtifactTable, NamesOfOthersCannotDriveTheTerminal) {
  v1::Artifact artifact;
  artifact.set_display_name("\x1B[2Jevil");
  artifact.set_kind(v1::ARTIFACT_KIND_DATA);
  const std::string table = ArtifactTable({artifact}, kNow);
  EXPECT_THAT(table, Not(HasSubstr("\x1B")));
  EXPECT_THAT(table, HasSubstr("data"));
}

}  // namespace
}  // namespace topiary
