// Jobs on the CPU backend whose sparse phase leaves pruned blocks out, resumed. The reference
// backend cannot tell: to leave out a product with 0 changes no sum there.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {
namespace {

// Each product that is pruned is followed by a BatchNormalization, whose statistics are sums of it.
Graph NormalizedMlp() {
  GraphBuilder b({8});
  std::string v = "x";
  int64_t width = 8;
  for (const std::string name : {"fc1", "fc2"}) {
    v = b.Linear(name, v, width, 32);
    v = b.Add("BatchNormalization", {v, b.Constant(absl::StrCat(name, ".scale"), Shape({32}), 1),
                                     b.Constant(absl::StrCat(name, ".b"), Shape({32}), 0),
                                     b.Constant(absl::StrCat(name, ".mean"), Shape({32}), 0),
                                     b.Constant(absl::StrCat(name, ".var"), Shape({32}), 1)});
    v = b.Add("Relu", {v});
    width = 32;
  }
  return b.Finish(b.Linear("head", v, 32, 3));
}

absl::StatusOr<std::unique_ptr<Backend>> NewCpuBackend(int, Precision) {
  CpuBackendOptions options;
  options.threads = 2;
  return CpuBackend::Create(options);
}

// SHA-256 of the model that the job leaves behind.
std::string DigestOfRun(const JobSpec& spec, RecordingObserver* observer,
                        const std::string& checkpoint, double break_even = 0.5) {
  FakeClock clock;
  JobAttempt attempt;
  attempt.spec = spec;
  attempt.work_folder = NewTestFolder();
  attempt.checkpoint_path = checkpoint;
  FixedLayerCosts costs(break_even);
  PipelineRunner runner(NewCpuBackend, &costs, &clock);
  const absl::StatusOr<JobOutcome> outcome = runner.Run(attempt, observer);
  EXPECT_OK(outcome.status());
  if (!outcome.ok()) return "";
  for (const JobFile& file : outcome->files) {
    if (file.kind == JobFile::Kind::kOnnx) return Sha256HexOfFile(file.path).value();
  }
  return "";
}

// Phases end at steps 6, 21 and 30: before the sparse one, and after the last step, when what is
// left is to re-estimate BatchNorm.
TEST(SparseResume, RepeatsTheBitsOfAnUndisturbedRun) {
  const JobSpec spec = SmallJob(NewTestFolder(), NormalizedMlp());
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  const std::string straight = DigestOfRun(spec, &observer, "");
  ASSERT_NE(straight, "");
  for (const int64_t step : {6, 21, 30}) {
    RecordingObserver quiet;
    EXPECT_EQ(DigestOfRun(spec, &quiet, observer.CheckpointPath(step)), straight)
        << "from step " << step;
  }
}

// Whatever the machine of the next attempt would find: what the first one has planned before its
// first step is obeyed.
TEST(SparseResume, ObeysThePlanOfTheFirstAttempt) {
  const JobSpec spec = SmallJob(NewTestFolder(), NormalizedMlp());
  RecordingObserver observer;
  observer.checkpoint_folder = NewTestFolder();
  const std::string straight = DigestOfRun(spec, &observer, "");
  ASSERT_NE(straight, "");
  RecordingObserver dense;
  EXPECT_NE(DigestOfRun(spec, &dense, "", /*break_even=*/0), straight);
  EXPECT_NE(dense.keys.at(0).plan_digest, observer.keys.at(0).plan_digest);
  RecordingObserver resumed;
  EXPECT_EQ(DigestOfRun(spec, &resumed, observer.CheckpointPath(0), /*break_even=*/0), straight);
  EXPECT_EQ(resumed.keys.at(0).plan_digest, observer.keys.at(0).plan_digest);
}

}  // namespace
}  // namespace topiary
