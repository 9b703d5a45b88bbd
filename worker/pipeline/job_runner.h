// The seam between the agent, which talks to the coordinator, and the pipeline, which does the
// work: one call runs one attempt at one job.
#ifndef TOPIARY_WORKER_PIPELINE_JOB_RUNNER_H_
#define TOPIARY_WORKER_PIPELINE_JOB_RUNNER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/pipeline/job_spec.h"

namespace topiary {

// How far an attempt has come. Absent numbers are not known (yet).
struct JobProgress {
  std::string phase;  // "load", "dense", "sparsification", "sparse", "evaluate", "export", ...
  int64_t step = 0;   // Training steps done, by the attempts before too.
  int64_t attempt_steps = 0;    // Training steps done by this attempt,
  int64_t attempt_samples = 0;  // and the examples in their batches.
  int64_t total_steps = 0;
  double epoch = 0;
  std::optional<double> loss;  // Mean training loss since the progress before.
  std::map<std::string, double> metrics;
  std::optional<double> sparsity;
  std::optional<double> samples_per_second;
  std::optional<double> remaining_seconds;
};

// What decides the bits of a result besides spec, data and seed.
struct DeterminismKey {
  std::string onednn_version;
  std::string isa;
  int threads = 0;
  std::string plan_digest;  // SHA-256 of which kernel runs which layer.
};

enum class JobControl {
  kContinue,
  kStop,      // End with CANCELLED as soon as the step ends; write nothing more.
  kHandBack,  // Save a checkpoint, then end with ABORTED.
};

// How a running job speaks to whoever started it. Called on the job's own thread, between steps.
class JobObserver {
 public:
  virtual ~JobObserver() = default;

  virtual void OnProgress(const JobProgress& progress) = 0;

  // Once: before the first step, or, where the key depends on what the attempt has measured, when
  // the first checkpoint that has this is stored, or else at the end of the training. Not of a dry
  // run.
  virtual void OnDeterminismKey(const DeterminismKey& key) = 0;

  // A complete checkpoint lies at `path` for the length of the call. An error, which the
  // observer logs, is not the end of the job: it goes on, and the next checkpoint is tried in its
  // time.
  virtual absl::Status OnCheckpoint(const std::string& path, int64_t step) = 0;

  // Asked before each step, and between the larger pieces of other work. Must be quick.
  virtual JobControl Control() = 0;
};

struct JobFile {
  enum class Kind { kOnnx, kBlockSparse, kReport, kPredictions, kCheckpoint, kShrunkOnnx };
  Kind kind = Kind::kReport;
  std::string filename;  // Suggested name, without a folder.
  std::string path;      // In the attempt's work folder.
};

struct JobOutcome {
  std::vector<JobFile> files;  // Always a report.
  std::map<std::string, double> given_metrics;
  std::map<std::string, double> dense_metrics;
  std::map<std::string, double> pruned_metrics;
  std::optional<double> sparsity_requested;
  std::optional<double> sparsity_reached;
  bool bit_exact = true;
  // Not empty: no pruned model of the training meets the accuracy bound, and by how much; the job
  // has failed, and leaves behind a report and its last checkpoint.
  std::string bound_missed;
};

// One attempt: what to do, where, and from where to go on.
struct JobAttempt {
  JobSpec spec;
  // An empty folder of the attempt's own for whatever is written; the caller removes it.
  std::string work_folder;
  // Empty: begin at the beginning.
  std::string checkpoint_path;
  // Of the attempts before; a run that cannot match it goes on with bit_exact = false.
  std::optional<DeterminismKey> required_key;
};

// Thread-safe: attempts may run at the same time.
class JobRunner {
 public:
  virtual ~JobRunner() = default;

  // Blocks until the job is done, has failed or was told to stop. CANCELLED after kStop, ABORTED
  // after kHandBack. INVALID_ARGUMENT, UNIMPLEMENTED, FAILED_PRECONDITION and OUT_OF_RANGE are
  // faults of spec, model or data that every attempt would meet; any other code may pass.
  virtual absl::StatusOr<JobOutcome> Run(const JobAttempt& attempt, JobObserver* observer) = 0;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_JOB_RUNNER_H_
