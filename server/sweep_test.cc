#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/test_server.h"

// Sweeps over real sockets, with the real stores behind them; the workers are the test's.
namespace topiary {
namespace {

using google::protobuf::util::MessageDifferencer;
using grpc::StatusCode;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class SweepTest : public testing::Test {
 protected:
  // Two sparsities by two seeds.
  v1::CreateJobRequest Request(const std::string& request_id = "") {
    v1::CreateJobRequest request = server_.JobRequest(request_id);
    v1::CompressionSpec* spec = request.mutable_spec();
    spec->clear_target();
    spec->mutable_magnitude();
    spec->set_priority(3);
    (*spec->mutable_labels())["team"] = "vision";
    for (const double sparsity : {0.5, 0.9}) spec->mutable_sweep()->add_sparsities(sparsity);
    for (const int seed : {7, 8}) spec->mutable_sweep()->add_seeds(seed);
    return request;
  }

  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job* job) {
    return server_.jobs()->CreateJob(Context().get(), request, job);
  }
  v1::Job MustCreate(const v1::CreateJobRequest& request) {
    v1::Job job;
    const grpc::Status status = Create(request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  v1::Job CreateSweep() { return MustCreate(Request()); }
  // Of two children.
  v1::Job CreateSweepOfSeeds() {
    v1::CreateJobRequest request = Request();
    request.mutable_spec()->mutable_sweep()->clear_sparsities();
    request.mutable_spec()->mutable_target()->set_sparsity(0.5);
    return MustCreate(request);
  }
  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(server_.jobs()->GetJob(Context().get(), request, &job).ok());
    return job;
  }
  v1::Job Cancel(const std::string& name) {
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    EXPECT_TRUE(server_.jobs()->CancelJob(Context().get(), request, &job).ok());
    return job;
  }
  grpc::Status Delete(const std::string& name) {
    v1::DeleteJobRequest request;
    request.set_name(name);
    google::protobuf::Empty response;
    return server_.jobs()->DeleteJob(Context().get(), request, &response);
  }
  std::vector<v1::Job> List(const std::string& filter) {
    v1::ListJobsRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(filter, &request));
    request.set_parent("projects/a");
    v1::ListJobsResponse response;
    const grpc::Status status = server_.jobs()->ListJobs(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.jobs().begin(), response.jobs().end()};
  }
  std::vector<v1::Job> ChildrenOf(const v1::Job& sweep) {
    return List(absl::StrCat("parent_job: '", sweep.name(), "'"));
  }

  // The next job of a worker of one slot.
  v1::Lease Lease(const std::string& worker) {
    const v1::SynchronizeResponse response = server_.Synchronize(server_.IdleWorker(worker));
    EXPECT_EQ(response.new_leases_size(), 1);
    return response.new_leases_size() == 1 ? response.new_leases(0) : v1::Lease();
  }

  void Finish(const std::string& worker, const v1::Lease& lease, const v1::Outcome& outcome) {
    v1::SynchronizeRequest report = server_.Running(worker, lease);
    report.mutable_attempts(0)->set_phase(v1::AttemptReport::FINISHED);
    *report.mutable_attempts(0)->mutable_outcome() = outcome;
    EXPECT_EQ(server_.Synchronize(report).orders(0).action(), v1::AttemptOrder::FORGET);
  }

  // A model of this accuracy, of the sparsity that was asked for.
  v1::JobResult Model(const v1::Lease& lease, double accuracy) {
    v1::JobResult result;
    (*result.mutable_pruned_metrics())["accuracy"] = accuracy;
    result.set_sparsity_reached(lease.spec().target().sparsity());
    result.set_bit_exact(true);
    v1::ResultFile* file = result.add_files();
    file->set_kind(v1::ResultFile::BLOCK_SPARSE);
    file->set_filename("model.safetensors");
    file->set_digest(server_.Upload(absl::StrCat("model ", lease.job())));
    file->set_size_bytes(static_cast<int64_t>(1000 * (1 - lease.spec().target().sparsity())));
    return result;
  }

  void Succeed(const std::string& worker, const v1::Lease& lease, double accuracy) {
    v1::Outcome outcome;
    *outcome.mutable_succeeded() = Model(lease, accuracy);
    Finish(worker, lease, outcome);
  }

  static v1::Outcome Failed(bool retryable = false) {
    v1::Outcome outcome;
    outcome.mutable_failed()->mutable_error()->set_code(StatusCode::INTERNAL);
    outcome.mutable_failed()->mutable_error()->set_message("it broke");
    outcome.mutable_failed()->set_retryable(retryable);
    return outcome;
  }

  // All events; returns when the job has ended.
  std::vector<v1::JobEvent> Watch(const std::string& name) {
    v1::WatchJobRequest request;
    request.set_name(name);
    const auto context = Context();
    const auto reader = server_.jobs()->WatchJob(context.get(), request);
    std::vector<v1::JobEvent> events;
    v1::JobEvent event;
    while (reader->Read(&event)) events.push_back(event);
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return events;
  }

  std::string Read(const std::string& digest) {
    v1::ReadArtifactRequest request;
    request.set_name(absl::StrCat("projects/a/artifacts/", digest));
    const auto context = Context();
    const auto reader = server_.artifacts()->ReadArtifact(context.get(), request);
    std::string bytes;
    v1::ReadArtifactResponse response;
    while (reader->Read(&response)) bytes += response.data();
    EXPECT_TRUE(reader->Finish().ok());
    return bytes;
  }

  TestServer server_;
};

TEST_F(SweepTest, IsCreatedWithAJobForEachCombination) {
  const v1::CreateJobRequest request = Request();
  v1::Job sweep;
  ASSERT_TRUE(Create(request, &sweep).ok());
  EXPECT_EQ(sweep.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(sweep.children().total(), 4);
  EXPECT_EQ(sweep.children().queued(), 4);
  EXPECT_EQ(sweep.parent_job(), "");
  EXPECT_TRUE(MessageDifferencer::Equals(sweep.spec(), request.spec())) << "kept as submitted";
  EXPECT_TRUE(MessageDifferencer::Equals(Get(sweep.name()), sweep));

  const std::vector<v1::Job> children = ChildrenOf(sweep);
  ASSERT_THAT(children, SizeIs(4));
  EXPECT_EQ(children[0].name(), absl::StrCat(sweep.name(), "-0001"));
  EXPECT_EQ(children[0].parent_job(), sweep.name());
  EXPECT_FALSE(children[0].has_children());

  // A child is what the same spec makes when it is submitted alone.
  v1::CreateJobRequest alone = request;
  alone.mutable_spec()->clear_sweep();
  alone.mutable_spec()->mutable_target()->set_sparsity(0.9);
  alone.mutable_spec()->mutable_task()->set_seed(7);
  v1::Job job;
  ASSERT_TRUE(Create(alone, &job).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(children[2].spec(), job.spec()));
}

TEST_F(SweepTest, ListsLeaveChildrenOutUnlessAskedForThem) {
  const v1::Job sweep = CreateSweep();
  EXPECT_THAT(List(""), SizeIs(1));
  EXPECT_THAT(List("include_children: true"), SizeIs(5));
  EXPECT_THAT(List("include_children: true labels { key: 'team' value: 'vision' }"), SizeIs(5));
  EXPECT_THAT(List(absl::StrCat("page_size: 3 parent_job: '", sweep.name(), "'")), SizeIs(3));
  v1::ListJobsRequest request;
  request.set_parent("projects/a");
  request.set_parent_job("projects/b/jobs/j");
  v1::ListJobsResponse response;
  const grpc::Status status = server_.jobs()->ListJobs(Context().get(), request, &response);
  EXPECT_EQ(BadRequestOf(status).field_violations(0).field(), "parent_job");
}

TEST_F(SweepTest, TheSameRequestIdGivesTheSameSweepAfterARestart) {
  const v1::CreateJobRequest request = Request("once");
  v1::Job first;
  v1::Job second;
  ASSERT_TRUE(Create(request, &first).ok());
  server_.Restart();
  ASSERT_TRUE(Create(request, &second).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(first, second));
  EXPECT_THAT(List("include_children: true"), SizeIs(5));
}

TEST_F(SweepTest, ABadEntryIsRefusedByItsPathAndNothingIsMade) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->mutable_sweep()->add_sparsities(1.5);
  v1::Job job;
  const grpc::Status status = Create(request, &job);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  ASSERT_EQ(BadRequestOf(status).field_violations_size(), 1);
  EXPECT_EQ(BadRequestOf(status).field_violations(0).field(), "spec.sweep.sparsities[2]");
  EXPECT_THAT(List("include_children: true"), SizeIs(0));
}

TEST_F(SweepTest, ValidateOnlySaysHowManyJobsThereWouldBe) {
  v1::CreateJobRequest request = Request();
  request.set_validate_only(true);
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  EXPECT_EQ(job.name(), "");
  EXPECT_EQ(job.children().total(), 4);
  EXPECT_THAT(List("include_children: true"), SizeIs(0));
}

TEST_F(SweepTest, ChildrenAreLeasedToAllWorkersAndTheReportComparesThem) {
  const v1::Job sweep = CreateSweep();
  std::map<std::string, v1::Lease> leases;
  for (const std::string worker : {"w1", "w2", "w3", "w4"}) {
    leases[worker] = Lease(worker);
    EXPECT_FALSE(leases[worker].spec().has_sweep());
  }
  EXPECT_EQ(server_.Synchronize(server_.IdleWorker("w5")).new_leases_size(), 0)
      << "the sweep itself is never leased";
  EXPECT_EQ(Get(sweep.name()).state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(Get(sweep.name()).reason(), v1::JOB_REASON_CHILDREN_RUNNING);
  Succeed("w1", leases["w1"], 0.90);     // sparsity 0.5, seed 7
  Succeed("w2", leases["w2"], 0.94);     // 0.5, 8
  Succeed("w3", leases["w3"], 0.80);     // 0.9, 7
  Finish("w4", leases["w4"], Failed());  // 0.9, 8
  const std::vector<v1::JobEvent> events = Watch(sweep.name());

  std::vector<std::string> story;
  for (const v1::JobEvent& event : events) {
    story.push_back(event.has_progress()
                        ? absl::StrCat(event.progress().step(), "/", event.progress().total_steps())
                        : v1::JobState_Name(event.state_change().state()));
  }
  EXPECT_THAT(story, ElementsAre("JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "1/4", "2/4", "3/4",
                                 "4/4", "JOB_STATE_SUCCEEDED"));
  const v1::Job ended = Get(sweep.name());
  EXPECT_EQ(ended.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(ended.children().succeeded(), 3);
  EXPECT_EQ(ended.children().failed(), 1);
  EXPECT_EQ(ended.progress().step(), 4);
  ASSERT_EQ(ended.result().files_size(), 1);
  EXPECT_EQ(ended.result().files(0).kind(), v1::ResultFile::REPORT);
  EXPECT_TRUE(ended.result().bit_exact());

  const auto report = nlohmann::json::parse(Read(ended.result().files(0).digest()));
  ASSERT_EQ(report["children"].size(), 4);
  std::vector<std::string> front;
  for (const auto& row : report["children"]) {
    if (row.value("front", false)) front.push_back(row["job"]);
  }
  EXPECT_THAT(front, UnorderedElementsAre(EndsWith("-0002"), EndsWith("-0003")));
  EXPECT_EQ(report["children"][3]["error"], "it broke");
  EXPECT_DOUBLE_EQ(report["groups"][0]["metrics"]["accuracy"]["mean"], 0.92);
}

TEST_F(SweepTest, ASweepWhoseCoordinatorDiedEndsAfterTheRestart) {
  const v1::Job sweep = CreateSweepOfSeeds();
  const v1::Lease first = Lease("w1");
  const v1::Lease second = Lease("w2");
  Succeed("w1", first, 0.9);
  server_.Restart();
  EXPECT_EQ(Get(sweep.name()).children().running(), 1);
  Succeed("w2", second, 0.8);
  server_.Restart();
  EXPECT_EQ(Watch(sweep.name()).back().state_change().state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(SweepTest, AChildIsTriedAgainAndTheSweepWaitsForIt) {
  const v1::Job sweep = CreateSweepOfSeeds();
  const v1::Lease first = Lease("w1");
  const v1::Lease second = Lease("w2");
  Succeed("w1", first, 0.9);
  Finish("w2", second, Failed(/*retryable=*/true));
  const v1::Job waiting = Get(sweep.name());
  EXPECT_EQ(waiting.state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(waiting.progress().step(), 1) << "what will be tried again has not ended";
  EXPECT_EQ(waiting.children().queued(), 1);
  server_.clock()->Advance(absl::Minutes(10));
  const v1::Lease again = Lease("w1");
  EXPECT_EQ(again.job(), second.job());
  Succeed("w1", again, 0.8);
  EXPECT_EQ(Watch(sweep.name()).back().state_change().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Get(sweep.name()).children().succeeded(), 2);
}

TEST_F(SweepTest, WhatMissedItsAccuracyBoundIsReportedWithWhatItReached) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->mutable_sweep()->clear_seeds();
  auto* bound = request.mutable_spec()->mutable_target()->mutable_accuracy_bound();
  bound->set_metric(v1::Task::ACCURACY);
  bound->set_value(0.85);
  v1::Job sweep;
  ASSERT_TRUE(Create(request, &sweep).ok());
  const v1::Lease half = Lease("w1");
  const v1::Lease most = Lease("w2");
  Succeed("w1", half, 0.9);
  v1::Outcome missed = Failed();
  missed.mutable_failed()->set_reason(v1::JOB_REASON_ACCURACY_BOUND);
  *missed.mutable_failed()->mutable_result() = Model(most, 0.8);
  Finish("w2", most, missed);
  EXPECT_EQ(Watch(sweep.name()).back().state_change().state(), v1::JOB_STATE_SUCCEEDED);
  const v1::Job ended = Get(sweep.name());
  EXPECT_EQ(ended.children().failed(), 1);
  const auto report = nlohmann::json::parse(Read(ended.result().files(0).digest()));
  const auto& row = report["children"][1];
  EXPECT_EQ(row["reason"], "ACCURACY_BOUND");
  EXPECT_EQ(row["metrics"]["pruned"]["accuracy"], 0.8);
  EXPECT_FALSE(row.contains("front"));
}

TEST_F(SweepTest, CancellingASweepStopsItsChildren) {
  const v1::Job sweep = CreateSweep();
  const v1::Lease done = Lease("w1");
  const v1::Lease running = Lease("w2");
  Succeed("w1", done, 0.9);
  const v1::Job cancelled = Cancel(sweep.name());
  EXPECT_EQ(cancelled.state(), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(cancelled.cancel_requested());
  EXPECT_EQ(cancelled.children().cancelled(), 2);
  v1::SynchronizeRequest report = server_.Running("w2", running);
  EXPECT_EQ(server_.Synchronize(report).orders(0).action(), v1::AttemptOrder::STOP);
  v1::Outcome stopped;
  stopped.mutable_stopped();
  Finish("w2", running, stopped);
  EXPECT_EQ(Watch(sweep.name()).back().state_change().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Get(sweep.name()).result().files_size(), 1) << "what was done is reported";
}

TEST_F(SweepTest, AChildIsCancelledAlone) {
  const v1::Job sweep = CreateSweep();
  EXPECT_EQ(Cancel(absl::StrCat(sweep.name(), "-0002")).state(), v1::JOB_STATE_CANCELLED);
  const v1::Job after = Get(sweep.name());
  EXPECT_EQ(after.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(after.children().queued(), 3);
  EXPECT_EQ(after.children().cancelled(), 1);
}

TEST_F(SweepTest, ADeadlineEndsWhatHasNotEnded) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->mutable_deadline()->set_seconds(60);
  v1::Job sweep;
  ASSERT_TRUE(Create(request, &sweep).ok());
  server_.clock()->Advance(absl::Seconds(61));
  EXPECT_EQ(Watch(sweep.name()).back().state_change().reason(), v1::JOB_REASON_DEADLINE_EXCEEDED);
  for (const v1::Job& child : ChildrenOf(sweep)) {
    EXPECT_EQ(child.reason(), v1::JOB_REASON_DEADLINE_EXCEEDED);
  }
}

TEST_F(SweepTest, IsDeletedWithItsChildren) {
  const v1::Job sweep = CreateSweep();
  EXPECT_EQ(ErrorInfoOf(Delete(sweep.name())).reason(), "JOB_NOT_FINISHED");
  Cancel(absl::StrCat(sweep.name(), "-0001"));
  EXPECT_EQ(ErrorInfoOf(Delete(absl::StrCat(sweep.name(), "-0001"))).reason(), "JOB_NOT_FINISHED");
  EXPECT_EQ(Cancel(sweep.name()).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_TRUE(Delete(sweep.name()).ok());
  EXPECT_THAT(List("include_children: true"), SizeIs(0));
}

TEST_F(SweepTest, AThousandChildrenAreMadeAndCancelledAtOnce) {
  v1::CreateJobRequest request = Request();
  request.mutable_spec()->mutable_sweep()->clear_seeds();
  for (int seed = 0; seed < 500; ++seed) request.mutable_spec()->mutable_sweep()->add_seeds(seed);
  v1::Job sweep;
  ASSERT_TRUE(Create(request, &sweep).ok());
  EXPECT_EQ(sweep.children().queued(), 1000);
  EXPECT_EQ(Cancel(sweep.name()).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Get(sweep.name()).children().cancelled(), 1000);
  EXPECT_TRUE(Delete(sweep.name()).ok());
}

}  // namespace
}  // namespace topiary
