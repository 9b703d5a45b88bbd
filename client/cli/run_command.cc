#include "client/cli/run_command.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/job_flags.h"
#include "client/cli/private_cluster.h"
#include "client/cli/report_command.h"
#include "client/cli/submission.h"
#include "client/cli/sweep_details.h"
#include "common/mutex.h"
#include "common/periodic.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr absl::Duration kCheckInterval = absl::Milliseconds(200);

struct RunFlags {
  JobFlags job;
  PrivateClusterOptions cluster;
  std::string download = "topiary-result";
};

// Cancels the session when a process of the cluster ends before its time. Thread-safe.
class Watchdog {
 public:
  Watchdog(PrivateCluster* cluster, Cancellation* cancellation)
      : periodic_("watchdog", kCheckInterval, [this, cluster, cancellation] {
          absl::Status status = cluster->Check();
          if (status.ok()) return;
          MutexLock lock(&mutex_);
          if (status_.ok()) status_ = std::move(status);
          cancellation->Cancel();
        }) {}

  // What has ended, if anything has. No check is under way, or follows, when it returns.
  absl::Status Finish() {
    periodic_.Stop();
    MutexLock lock(&mutex_);
    return status_;
  }

 private:
  Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  Periodic periodic_;
};

// What is done with a job that has left something behind, or a sweep that has ended, while its
// server is still there.
using WithResult = std::function<absl::Status(const v1::Job&)>;

absl::StatusOr<v1::Job> RunJob(const RunFlags& flags, const WithResult& with_result,
                               JobInputs* inputs, Session* session) {
  RETURN_IF_ERROR(UploadInputs(flags.job, session, inputs));
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(v1::Job job, jobs.Submit(inputs->spec));
  ASSIGN_OR_RETURN(job, WatchToEnd(session, job.name(), 0, false));
  if (job.has_result() || job.has_children()) RETURN_IF_ERROR(with_result(job));
  return job;
}

absl::StatusOr<v1::Job> RunPrivately(const RunFlags& flags, JobInputs inputs,
                                     const WithResult& with_result, Session* session) {
  PrivateClusterOptions options = flags.cluster;
  options.threads = flags.job.threads.value_or(0);
  ASSIGN_OR_RETURN(const std::unique_ptr<PrivateCluster> cluster,
                   PrivateCluster::Start(options, session->cancellation()));
  session->UseServer(cluster->target());
  Watchdog watchdog(cluster.get(), session->cancellation());
  absl::StatusOr<v1::Job> job = RunJob(flags, with_result, &inputs, session);
  const absl::Status ended = watchdog.Finish();
  if (job.ok()) return job;
  RETURN_IF_ERROR(ended);
  if (absl::IsCancelled(job.status())) {
    return absl::CancelledError("stopped, and the job with it");
  }
  return job.status();
}

absl::StatusOr<ExitCode> Run(const RunFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(JobInputs inputs, ReadInputs(flags.job));
  RETURN_IF_ERROR(PrepareDownload(flags.download));
  std::string details;
  const auto download = [&](const v1::Job& job) -> absl::Status {
    RETURN_IF_ERROR(DownloadResult(session, job, flags.download));
    ASSIGN_OR_RETURN(details, SweepDetails(session, job));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const v1::Job job, RunPrivately(flags, std::move(inputs), download, session));
  return ShowEndedJob(*session, job, details);
}

absl::StatusOr<ExitCode> Bench(const RunFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(JobInputs inputs, ReadInputs(flags.job));
  std::string report;
  const auto fetch = [&](const v1::Job& job) -> absl::Status {
    ASSIGN_OR_RETURN(report, FetchReport(job, session));
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(const v1::Job job, RunPrivately(flags, std::move(inputs), fetch, session));
  if (job.state() != v1::JOB_STATE_SUCCEEDED) return ShowEndedJob(*session, job, "");
  RETURN_IF_ERROR(ShowReport(report, session));
  return ExitCode::kOk;
}

void AddClusterFlags(CLI::App* command, PrivateClusterOptions* options) {
  command->add_option("--server-binary", options->server_binary,
                      "topiary-server [beside this program or in PATH]");
  command->add_option("--worker-binary", options->worker_binary,
                      "topiary-worker [beside this program or in PATH]");
  command->add_option("--data-dir", options->data_dir,
                      "Keep the servers' files and logs here [a temporary folder]");
}

}  // namespace

void AddRunCommand(CommandSet* commands) {
  const auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      commands->Add(commands->app(), "run", "Run one job here, without a server of yours",
                    [flags](Session* session) { return Run(*flags, session); });
  command->add_option("--download", flags->download,
                      "Folder to write the result to [topiary-result]");
  AddClusterFlags(command, &flags->cluster);
  AddJobFlags(command, &flags->job);
}

void AddBenchCommand(CommandSet* commands) {
  const auto flags = std::make_shared<RunFlags>();
  flags->job.method = "benchmark";
  CLI::App* command =
      commands->Add(commands->app(), "bench", "Time a model here, whole and node by node",
                    [flags](Session* session) { return Bench(*flags, session); });
  command
      ->add_option("model", flags->job.model,
                   "FILE.onnx, or FILE.safetensors, of which pruned blocks are left out where that "
                   "is faster")
      ->required();
  command->add_option("--batch", flags->job.latency_batches, "Examples in a pass [1 and 64]");
  command->add_option("--threads", flags->job.threads, "[as many as there are processors]");
  AddClusterFlags(command, &flags->cluster);
}

}  // namespace topiary
