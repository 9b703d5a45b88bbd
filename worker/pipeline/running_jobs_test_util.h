// Whole jobs, on the reference backend unless a test says otherwise, for tests of what they leave
// behind.
#ifndef TOPIARY_WORKER_PIPELINE_RUNNING_JOBS_TEST_UTIL_H_
#define TOPIARY_WORKER_PIPELINE_RUNNING_JOBS_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/file.h"
#include "worker/engine/testing/fixed_layer_costs.h"
#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {

// Each step takes a second; a checkpoint is due after each.
class TickingObserver : public RecordingObserver {
 public:
  explicit TickingObserver(FakeClock* clock) : clock_(clock) {}
  JobControl Control() override {
    clock_->Advance(absl::Seconds(61));
    return RecordingObserver::Control();
  }

 private:
  FakeClock* clock_;
};

class RunningJobs : public testing::Test {
 protected:
  absl::StatusOr<JobOutcome> Run(const JobSpec& spec, JobObserver* observer = nullptr,
                                 const std::string& checkpoint = "") {
    JobAttempt attempt;
    attempt.spec = spec;
    attempt.work_folder = NewTestFolder();
    attempt.checkpoint_path = checkpoint;
    attempt.required_key = required_key_;
    RecordingObserver quiet;
    PipelineRunner runner(backends_, &costs_, &clock_);
    return runner.Run(attempt, observer != nullptr ? observer : &quiet);
  }

  // From the checkpoint that `observer` has of `step`, and not anew.
  absl::StatusOr<JobOutcome> Resume(const JobSpec& spec, const RecordingObserver& observer,
                                    int64_t step) {
    TickingObserver resumed(&clock_);
    auto outcome = Run(spec, &resumed, observer.CheckpointPath(step));
    EXPECT_FALSE(resumed.checkpoint_steps.empty());
    for (const int64_t later : resumed.checkpoint_steps) EXPECT_GT(later, step);
    return outcome;
  }

  static const JobFile* Find(const JobOutcome& outcome, JobFile::Kind kind) {
    for (const JobFile& file : outcome.files) {
      if (file.kind == kind) return &file;
    }
    return nullptr;
  }
  static std::string DigestOf(const JobOutcome& outcome, JobFile::Kind kind) {
    const JobFile* file = Find(outcome, kind);
    return file == nullptr ? "no file" : Sha256HexOfFile(file->path).value();
  }
  static nlohmann::json ReportOf(const JobOutcome& outcome) {
    return nlohmann::json::parse(ReadFile(Find(outcome, JobFile::Kind::kReport)->path).value());
  }
  // Without what may differ from run to run.
  static nlohmann::json ComparableReport(const JobOutcome& outcome) {
    nlohmann::json report = ReportOf(outcome);
    report.erase("latency");
    report.erase("costs");
    report.erase("environment");
    return report;
  }

  BackendFactory backends_ = NewReferenceBackend;
  FixedLayerCosts costs_;
  FakeClock clock_;
  std::optional<DeterminismKey> required_key_;
  const std::string folder_ = NewTestFolder();
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_RUNNING_JOBS_TEST_UTIL_H_
