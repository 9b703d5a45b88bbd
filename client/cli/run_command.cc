#include "client/cli/run_command.h"

#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/job_flags.h"
#include "client/cli/private_cluster.h"
#include "client/cli/submission.h"
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

absl::StatusOr<v1::Job> RunJob(const RunFlags& flags, JobInputs* inputs, Session* session) {
  RETURN_IF_ERROR(UploadInputs(flags.job, session, inputs));
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(v1::Job job, jobs.Submit(inputs->spec));
  ASSIGN_OR_RETURN(job, WatchToEnd(session, job.name(), 0, false));
  if (job.state() == v1::JOB_STATE_SUCCEEDED) {
    RETURN_IF_ERROR(DownloadResult(session, job, flags.download));
  }
  return job;
}

absl::StatusOr<ExitCode> Run(const RunFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(JobInputs inputs, ReadInputs(flags.job));
  RETURN_IF_ERROR(PrepareDownload(flags.download));
  PrivateClusterOptions options = flags.cluster;
  options.threads = flags.job.threads.value_or(0);
  ASSIGN_OR_RETURN(const std::unique_ptr<PrivateCluster> cluster,
                   PrivateCluster::Start(options, session->cancellation()));
  session->UseServer(cluster->target());
  Watchdog watchdog(cluster.get(), session->cancellation());
  const absl::StatusOr<v1::Job> job = RunJob(flags, &inputs, session);
  const absl::Status ended = watchdog.Finish();
  if (job.ok()) return ShowEndedJob(*session, *job);
  RETURN_IF_ERROR(ended);
  if (absl::IsCancelled(job.status())) {
    return absl::CancelledError("stopped, and the job with it");
  }
  return job.status();
}

}  // namespace

void AddRunCommand(CommandSet* commands) {
  const auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      commands->Add(commands->app(), "run", "Run one job here, without a server of yours",
                    [flags](Session* session) { return Run(*flags, session); });
  command->add_option("--download", flags->download,
                      "Folder to write the result to [topiary-result]");
  command->add_option("--server-binary", flags->cluster.server_binary,
                      "topiary-server [beside this program or in PATH]");
  command->add_option("--worker-binary", flags->cluster.worker_binary,
                      "topiary-worker [beside this program or in PATH]");
  command->add_option("--data-dir", flags->cluster.data_dir,
                      "Keep the servers' files and logs here [a temporary folder]");
  AddJobFlags(command, &flags->job);
}

}  // namespace topiary
