// The service as its users have it: processes, sockets, SQLite on disk, signals.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/jobs.h"
#include "client/model_zoo/model_zoo.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "tests/cluster/cluster.h"

namespace topiary {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr int kSide = 16;
constexpr int kClasses = 4;

class EndToEndTest : public testing::Test {
 protected:
  // A coordinator, a model and data in it; no worker yet.
  void Start(const Cluster::Options& options = {}) {
    cluster_ = std::make_unique<Cluster>(
        testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name(),
        options);
    ASSERT_NO_FATAL_FAILURE(cluster_->StartServer());
    NewModelOptions model;
    model.sample_shape = {kSide * kSide};
    model.classes = kClasses;
    model.hidden = {512, 256};  // Large enough for a few seconds of training.
    ASSERT_OK_AND_ASSIGN(const std::string bytes, NewModel("mlp", model));
    const IdxPair images = MakeImages(2000, kSide, kClasses, 1);
    const std::string text =
        "model { files { path: 'model.onnx' digest: '" +
        cluster_->Upload(bytes, v1::ARTIFACT_KIND_MODEL) + "' } } data { train { idx {" +
        " images_digest: '" + cluster_->Upload(images.images, v1::ARTIFACT_KIND_DATA) +
        "' labels_digest: '" + cluster_->Upload(images.labels, v1::ARTIFACT_KIND_DATA) +
        "' } } divide_by: 255 } task { batch_size: 50 optimizer { adamw {} } }";
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec_));
  }

  // SequentialAttention++ for `steps` steps.
  v1::CompressionSpec Pruning(int64_t steps) const {
    v1::CompressionSpec spec = spec_;
    spec.mutable_task()->set_steps(steps);
    spec.mutable_sequential_attention_pp();
    spec.mutable_target()->set_sparsity(0.75);
    spec.mutable_target()->set_block_rows(8);
    spec.mutable_target()->set_block_cols(8);
    return spec;
  }

  std::string Submit(const v1::CompressionSpec& spec) {
    absl::StatusOr<v1::Job> job = cluster_->jobs().Submit(spec);
    EXPECT_OK(job.status());
    return job.ok() ? job->name() : "";
  }

  // Of a sweep, by name.
  std::vector<v1::Job> Children(const std::string& sweep) {
    JobFilter filter;
    filter.parent_job = sweep;
    absl::StatusOr<std::vector<v1::Job>> children = cluster_->jobs().List(filter);
    EXPECT_OK(children.status());
    return children.value_or(std::vector<v1::Job>());
  }

  // Model files of two jobs are the same bits.
  static void ExpectSameModels(const v1::Job& a, const v1::Job& b) {
    for (const auto kind : {v1::ResultFile::ONNX, v1::ResultFile::BLOCK_SPARSE}) {
      EXPECT_NE(ResultDigest(a, kind), "");
      EXPECT_EQ(ResultDigest(a, kind), ResultDigest(b, kind));
    }
  }

  std::unique_ptr<Cluster> cluster_;
  v1::CompressionSpec spec_;
};

TEST_F(EndToEndTest, APrunedModelComesBackWithItsProof) {
  Start();
  cluster_->StartWorker("worker");
  const v1::Job job = cluster_->WatchToTheEnd(Submit(Pruning(400)));
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  EXPECT_GT(job.result().pruned_metrics().at("accuracy"), 0.9);
  EXPECT_LT(job.result().given_metrics().at("accuracy"), 0.6) << "random weights know little";
  EXPECT_TRUE(job.result().bit_exact());
  EXPECT_EQ(job.result().sparsity_requested(), 0.75);
  EXPECT_GT(job.result().sparsity_reached(), 0.7);
  const std::string onnx = cluster_->Download(ResultDigest(job, v1::ResultFile::ONNX));
  const std::string sparse = cluster_->Download(ResultDigest(job, v1::ResultFile::BLOCK_SPARSE));
  EXPECT_LT(sparse.size(), onnx.size() / 2);
  EXPECT_THAT(cluster_->Download(ResultDigest(job, v1::ResultFile::REPORT)),
              testing::HasSubstr("sparsity"));
}

TEST_F(EndToEndTest, AKilledWorkerCostsNoBits) {
  Cluster::Options options;
  options.checkpoint_interval = absl::Milliseconds(200);
  options.lease_duration = absl::Seconds(4);
  Start(options);
  cluster_->StartWorker("undisturbed");
  const v1::Job reference = cluster_->WatchToTheEnd(Submit(Pruning(4000)));
  ASSERT_EQ(reference.state(), v1::JOB_STATE_SUCCEEDED) << reference.ShortDebugString();

  const std::string name = Submit(Pruning(4000));
  ASSERT_TRUE(cluster_->WatchUntilStep(name, 500));
  cluster_->worker("undisturbed").Signal(SIGKILL);
  cluster_->StartWorker("second");
  const v1::Job job = cluster_->WatchToTheEnd(name);
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  ASSERT_EQ(job.attempts_size(), 2);
  EXPECT_EQ(job.attempts(0).state(), v1::Attempt::LOST);
  EXPECT_THAT(job.attempts(1).worker_id(), testing::StartsWith("second-"));
  EXPECT_THAT(cluster_->LogOf("second"),
              testing::ContainsRegex("attempt started[^\n]* checkpoint=[0-9a-f]{64}"))
      << "it must go on from a checkpoint";
  EXPECT_TRUE(job.result().bit_exact());
  ExpectSameModels(job, reference);
}

TEST_F(EndToEndTest, AKilledCoordinatorDisturbsNoTraining) {
  Start();
  cluster_->StartWorker("worker");
  const std::string running = Submit(Pruning(4000));
  const std::string waiting = Submit(Pruning(10));
  ASSERT_TRUE(cluster_->WatchUntilStep(running, 100));
  cluster_->server().Signal(SIGKILL);
  ASSERT_OK(cluster_->server().Wait(kPatience).status());
  ASSERT_NO_FATAL_FAILURE(cluster_->StartServer());
  const v1::Job job = cluster_->WatchToTheEnd(running);
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(job.attempts_size(), 1) << "the attempt must have gone on";
  EXPECT_EQ(cluster_->WatchToTheEnd(waiting).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(EndToEndTest, ASweepOutlivesItsCoordinatorAndAWorker) {
  Cluster::Options options;
  options.checkpoint_interval = absl::Milliseconds(200);
  options.lease_duration = absl::Seconds(4);
  Start(options);
  v1::CompressionSpec spec = Pruning(2000);
  spec.mutable_target()->set_sparsity(0.75);
  spec.mutable_task()->set_seed(2);
  cluster_->StartWorker("first");
  const v1::Job alone = cluster_->WatchToTheEnd(Submit(spec));
  spec.mutable_target()->clear_sparsity();
  spec.mutable_task()->clear_seed();
  for (const double sparsity : {0.5, 0.75}) spec.mutable_sweep()->add_sparsities(sparsity);
  for (const int seed : {1, 2}) spec.mutable_sweep()->add_seeds(seed);
  cluster_->StartWorker("second");
  const std::string sweep = Submit(spec);

  // Both workers have a child; one of them dies, then the coordinator.
  std::string orphan;
  const absl::Time deadline = absl::Now() + 2 * kPatience;
  while (orphan.empty() && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(50));
    for (const v1::Job& child : Children(sweep)) {
      const v1::Job job = cluster_->jobs().Get(child.name()).value_or(v1::Job());
      if (job.state() == v1::JOB_STATE_RUNNING && job.progress().step() > 100 &&
          absl::StartsWith(job.attempts(0).worker_id(), "second-")) {
        orphan = child.name();
      }
    }
  }
  ASSERT_NE(orphan, "") << "the second worker must have got a child";
  cluster_->worker("second").Signal(SIGKILL);
  cluster_->server().Signal(SIGKILL);
  ASSERT_OK(cluster_->server().Wait(kPatience).status());
  ASSERT_NO_FATAL_FAILURE(cluster_->StartServer());
  cluster_->StartWorker("third");
  // And once more, when all has been done but the report.
  ASSERT_TRUE(cluster_->WatchUntil(
      sweep, [](const v1::JobEvent& event) { return event.progress().step() == 4; }));
  cluster_->server().Signal(SIGKILL);
  ASSERT_OK(cluster_->server().Wait(kPatience).status());
  ASSERT_NO_FATAL_FAILURE(cluster_->StartServer());

  const v1::Job ended = cluster_->WatchToTheEnd(sweep);
  ASSERT_EQ(ended.state(), v1::JOB_STATE_SUCCEEDED) << ended.ShortDebugString();
  EXPECT_EQ(ended.children().succeeded(), 4);
  const std::vector<v1::Job> children = Children(sweep);
  ASSERT_EQ(children.size(), 4);
  ExpectSameModels(children[3], alone);  // 0.75 and seed 2
  const v1::Job repeated = cluster_->jobs().Get(orphan).value_or(v1::Job());
  EXPECT_EQ(repeated.attempts_size(), 2);
  const std::string report = cluster_->Download(ResultDigest(ended, v1::ResultFile::REPORT));
  for (const v1::Job& child : children) EXPECT_THAT(report, testing::HasSubstr(child.name()));
  EXPECT_THAT(report, testing::HasSubstr("\"front\": true"));
  EXPECT_THAT(report, testing::HasSubstr("\"standard_deviation\""));
}

TEST_F(EndToEndTest, ADrainedWorkerHandsItsJobOver) {
  Start();
  cluster_->StartWorker("first");
  const v1::Job reference = cluster_->WatchToTheEnd(Submit(Pruning(3000)));
  v1::CompressionSpec spec = Pruning(3000);
  spec.mutable_retry()->set_max_attempts(1);  // A drain must not spend it.
  const std::string name = Submit(spec);
  ASSERT_TRUE(cluster_->WatchUntilStep(name, 100));
  cluster_->worker("first").Signal(SIGTERM);
  EXPECT_THAT(cluster_->worker("first").Wait(kPatience), IsOkAndHolds(0));
  cluster_->StartWorker("second");
  const v1::Job job = cluster_->WatchToTheEnd(name);
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  ASSERT_EQ(job.attempts_size(), 2);
  EXPECT_EQ(job.attempts(0).state(), v1::Attempt::HANDED_BACK);
  ExpectSameModels(job, reference);
}

TEST_F(EndToEndTest, ACancelledJobStopsAndItsWorkerGoesOn) {
  Start();
  cluster_->StartWorker("worker");
  const std::string name = Submit(Pruning(100'000'000));
  ASSERT_TRUE(cluster_->WatchUntilStep(name, 1));
  ASSERT_OK(cluster_->jobs().Cancel(name).status());
  EXPECT_EQ(cluster_->WatchToTheEnd(name).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(cluster_->WatchToTheEnd(Submit(Pruning(10))).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(EndToEndTest, ACoordinatorToldToStopLeavesInPeace) {
  Start();
  cluster_->StartWorker("worker");
  const std::string name = Submit(Pruning(3000));
  ASSERT_TRUE(cluster_->WatchUntilStep(name, 100));
  cluster_->server().Signal(SIGTERM);
  EXPECT_THAT(cluster_->server().Wait(kPatience), IsOkAndHolds(0));
  EXPECT_TRUE(cluster_->worker("worker").Running());
  ASSERT_NO_FATAL_FAILURE(cluster_->StartServer());
  const v1::Job job = cluster_->WatchToTheEnd(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(job.attempts_size(), 1);
}

TEST_F(EndToEndTest, TwoWorkersShareTheWork) {
  Start();
  cluster_->StartWorker("a");
  cluster_->StartWorker("b");
  const std::string first = Submit(Pruning(2000));
  const std::string second = Submit(Pruning(2000));
  const v1::Job one = cluster_->WatchToTheEnd(first);
  const v1::Job two = cluster_->WatchToTheEnd(second);
  ASSERT_EQ(one.attempts_size(), 1);
  ASSERT_EQ(two.attempts_size(), 1);
  EXPECT_NE(one.attempts(0).worker_id(), two.attempts(0).worker_id());
  ExpectSameModels(one, two);
}

TEST_F(EndToEndTest, DataThatDoNotFitFailTheJobAtOnceWithAReason) {
  Start();
  cluster_->StartWorker("worker");
  v1::CompressionSpec spec = Pruning(10);
  const IdxPair images = MakeImages(100, kSide + 1, kClasses, 1);
  v1::IdxSource* idx = spec.mutable_data()->mutable_train()->mutable_idx();
  idx->set_images_digest(cluster_->Upload(images.images, v1::ARTIFACT_KIND_DATA));
  idx->set_labels_digest(cluster_->Upload(images.labels, v1::ARTIFACT_KIND_DATA));
  const v1::Job job = cluster_->WatchToTheEnd(Submit(spec));
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.reason(), v1::JOB_REASON_WORK_FAILED);
  EXPECT_EQ(job.attempts_size(), 1);
  EXPECT_THAT(job.error().message(), testing::HasSubstr("[17,17]"));
  EXPECT_THAT(job.error().message(),
              testing::HasSubstr(absl::StrCat("upload (artifact ", idx->images_digest())))
      << "the client's file is to be named, as its uploader named it";
}

TEST_F(EndToEndTest, ABoundThatNoPrunedModelMeetsFailsTheJobAndLeavesItsCheckpoint) {
  Start();
  cluster_->StartWorker("worker");
  v1::CompressionSpec spec = Pruning(80);
  spec.mutable_target()->mutable_accuracy_bound()->set_value(1.5);
  const v1::Job job = cluster_->WatchToTheEnd(Submit(spec));
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED) << job.ShortDebugString();
  EXPECT_EQ(job.reason(), v1::JOB_REASON_ACCURACY_BOUND);
  EXPECT_EQ(job.attempts_size(), 1);
  EXPECT_THAT(job.error().message(), testing::HasSubstr("accuracy of at least 1.5"));
  EXPECT_THAT(cluster_->Download(ResultDigest(job, v1::ResultFile::CHECKPOINT)),
              testing::HasSubstr("topiary-checkpoint"));
  EXPECT_THAT(cluster_->Download(ResultDigest(job, v1::ResultFile::REPORT)),
              testing::HasSubstr("accuracy_bound"));
  EXPECT_EQ(ResultDigest(job, v1::ResultFile::ONNX), "");
  spec.mutable_target()->mutable_accuracy_bound()->set_value(0.3);
  EXPECT_EQ(cluster_->WatchToTheEnd(Submit(spec)).state(), v1::JOB_STATE_SUCCEEDED);
}

// Most of the process' memory that ever was resident.
int64_t PeakResidentBytes(pid_t process) {
  std::ifstream status(absl::StrCat("/proc/", process, "/status"));
  std::string line;
  while (std::getline(status, line)) {
    int64_t kibibytes = 0;
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "VmHWM:") && absl::ConsumeSuffix(&rest, "kB") &&
        absl::SimpleAtoi(rest, &kibibytes)) {
      return kibibytes << 10;
    }
  }
  ADD_FAILURE() << "no peak of process " << process;
  return 0;
}

TEST_F(EndToEndTest, ALargeArtifactLeavesTheCoordinatorSmall) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer keeps freed memory";
#endif
  constexpr int64_t kBytes = int64_t{256} << 20;
  Start();
  const std::string path = testing::TempDir() + "/large";
  ASSERT_OK(WriteFileAtomically(path, "begin"));
  std::filesystem::resize_file(path, kBytes);
  const int64_t before = PeakResidentBytes(cluster_->server().pid());
  UploadSource source;
  source.path = path;
  source.kind = v1::ARTIFACT_KIND_DATA;
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact,
                       cluster_->artifacts().Upload(kTestProject, source, {}));
  EXPECT_EQ(artifact.size_bytes(), kBytes);
  ASSERT_OK(cluster_->artifacts().Download(kTestProject, artifact.digest(), path + ".back", {}));
  EXPECT_EQ(std::filesystem::file_size(path + ".back"), kBytes);
  EXPECT_LT(PeakResidentBytes(cluster_->server().pid()) - before, kBytes / 4);
}

}  // namespace
}  // namespace topiary
