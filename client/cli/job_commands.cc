#include "client/cli/job_commands.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cli/job_view.h"
#include "client/cli/messages.h"
#include "client/cli/submission.h"
#include "client/cli/sweep_details.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr char kJobHelp[] = "The job's name, in full or its last part";

struct WatchFlags {
  std::string job;
  int64_t after = 0;
  std::string download;
};

absl::StatusOr<ExitCode> Watch(const WatchFlags& flags, Session* session) {
  const std::string name = JobName(session->project(), flags.job);
  RETURN_IF_ERROR(PrepareDownload(flags.download));
  ASSIGN_OR_RETURN(const v1::Job job, WatchToEnd(session, name, flags.after, true));
  if (!flags.download.empty() && job.has_result()) {
    RETURN_IF_ERROR(DownloadResult(session, job, flags.download));
  }
  ASSIGN_OR_RETURN(const std::string details, SweepDetails(session, job));
  if (!session->terminal().json()) return ShowEndedJob(*session, job, details);
  return job.state() == v1::JOB_STATE_SUCCEEDED ? ExitCode::kOk : ExitCode::kJobFailed;
}

struct GetFlags {
  std::string job;
  std::string download;
};

absl::StatusOr<ExitCode> Get(const GetFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(const v1::Job job, jobs.Get(JobName(session->project(), flags.job)));
  if (!flags.download.empty()) {
    if (job.result().files().empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("there is no result to download: the job is ", StateName(job.state())));
    }
    RETURN_IF_ERROR(PrepareDownload(flags.download));
    RETURN_IF_ERROR(DownloadResult(session, job, flags.download));
  }
  ASSIGN_OR_RETURN(const std::string details, SweepDetails(session, job));
  ShowJob(*session, job, details);
  return ExitCode::kOk;
}

struct ListFlags {
  std::vector<std::string> states;
  std::vector<std::string> labels;
  std::string sweep;
  bool children = false;
  int limit = 50;
};

absl::StatusOr<JobFilter> ToFilter(const ListFlags& flags, const std::string& project) {
  JobFilter filter;
  filter.limit = flags.limit;
  if (!flags.sweep.empty() && flags.children) {
    return UsageError("--sweep and --children exclude each other");
  }
  if (!flags.sweep.empty()) filter.parent_job = JobName(project, flags.sweep);
  filter.include_children = flags.children;
  for (const std::string& word : flags.states) {
    const absl::StatusOr<v1::JobState> state = ParseState(word);
    if (!state.ok()) return UsageError(state.status().message());
    filter.states.push_back(*state);
  }
  for (const std::string& label : flags.labels) {
    if (label.find('=') == std::string::npos) {
      return UsageError(absl::StrCat("--label takes KEY=VALUE, not \"", label, "\""));
    }
    filter.labels.insert(absl::StrSplit(label, absl::MaxSplits('=', 1)));
  }
  return filter;
}

absl::StatusOr<ExitCode> List(const ListFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(const JobFilter filter, ToFilter(flags, session->project()));
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(const std::vector<v1::Job> found, jobs.List(filter));
  if (session->terminal().json()) {
    v1::ListJobsResponse response;
    for (const v1::Job& job : found) *response.add_jobs() = job;
    session->PrintJson(response);
  } else {
    session->terminal().Print(JobTable(found, absl::Now()));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Cancel(const std::string& job, Session* session) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(const v1::Job cancelled, jobs.Cancel(JobName(session->project(), job)));
  if (session->terminal().json()) {
    session->PrintJson(cancelled);
  } else {
    session->terminal().Print(absl::StrCat(
        StateName(cancelled.state()), IsFinal(cancelled.state()) ? "" : ", being cancelled", "\n"));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Delete(const std::string& job, Session* session) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  RETURN_IF_ERROR(jobs.Delete(JobName(session->project(), job)));
  if (session->terminal().json()) session->terminal().Print("{}\n");
  return ExitCode::kOk;
}

}  // namespace

void AddJobCommands(CommandSet* commands) {
  const auto watch = std::make_shared<WatchFlags>();
  CLI::App* command = commands->Add(commands->app(), "watch", "Follow a job to its end",
                                    [watch](Session* session) { return Watch(*watch, session); });
  command->add_option("job", watch->job, kJobHelp)->required();
  command->add_option("--after", watch->after, "Only events after this sequence number");
  command->add_option("--download", watch->download, "Folder to write the result to");

  const auto get = std::make_shared<GetFlags>();
  command = commands->Add(commands->app(), "get", "Show a job",
                          [get](Session* session) { return Get(*get, session); });
  command->add_option("job", get->job, kJobHelp)->required();
  command->add_option("--download", get->download, "Folder to write the result to");

  const auto list = std::make_shared<ListFlags>();
  command = commands->Add(commands->app(), "list", "List jobs, newest first",
                          [list](Session* session) { return List(*list, session); });
  command->add_option("--state", list->states,
                      "Only queued, running, succeeded, failed, cancelled jobs");
  command->add_option("--label", list->labels, "Only jobs with KEY=VALUE");
  command->add_option("--sweep", list->sweep, "Only the children of this sweep");
  command->add_flag("--children", list->children, "Also the children of sweeps");
  command->add_option("--limit", list->limit, "At most so many; 0: all [50]")
      ->check(CLI::NonNegativeNumber);

  const auto cancelled = std::make_shared<std::string>();
  command = commands->Add(commands->app(), "cancel", "Stop a job",
                          [cancelled](Session* session) { return Cancel(*cancelled, session); });
  command->add_option("job", *cancelled, kJobHelp)->required();

  const auto deleted = std::make_shared<std::string>();
  command = commands->Add(commands->app(), "delete", "Forget a job that has ended",
                          [deleted](Session* session) { return Delete(*deleted, session); });
  command->add_option("job", *deleted, kJobHelp)->required();
}

}  // namespace topiary
