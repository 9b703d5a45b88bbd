#include "client/cli/submit_command.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/job_flags.h"
#include "client/cli/job_view.h"
#include "client/cli/submission.h"
#include "client/cli/sweep_details.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

struct SubmitFlags {
  JobFlags job;
  bool wait = false;
  std::string download;
  std::string request_id;
  bool validate_only = false;
};

absl::StatusOr<ExitCode> ShowValidated(Session* session, const JobInputs& inputs) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(const v1::Job job, jobs.Validate(inputs.spec));
  session->PrintJson(job.spec());
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Submit(const SubmitFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(JobInputs inputs, ReadInputs(flags.job));
  if (!flags.validate_only) RETURN_IF_ERROR(PrepareDownload(flags.download));
  RETURN_IF_ERROR(UploadInputs(flags.job, session, &inputs));
  if (flags.validate_only) return ShowValidated(session, inputs);
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(v1::Job job, jobs.Submit(inputs.spec, flags.request_id));
  if (!flags.wait && flags.download.empty()) {
    if (session->terminal().json()) {
      session->PrintJson(job);
    } else {
      session->terminal().Print(absl::StrCat(job.name(), "\n"));
    }
    return ExitCode::kOk;
  }
  if (!session->terminal().json()) session->terminal().Note(absl::StrCat("job ", job.name()));
  ASSIGN_OR_RETURN(job, WatchToEnd(session, job.name(), 0, false));
  if (!flags.download.empty()) RETURN_IF_ERROR(DownloadResult(session, job, flags.download));
  ASSIGN_OR_RETURN(const std::string details, SweepDetails(session, job));
  return ShowEndedJob(*session, job, details);
}

}  // namespace

void AddSubmitCommand(CommandSet* commands) {
  const auto flags = std::make_shared<SubmitFlags>();
  CLI::App* command =
      commands->Add(commands->app(), "submit", "Upload a model and data, and submit a job",
                    [flags](Session* session) { return Submit(*flags, session); });
  command->add_flag("--wait", flags->wait, "Watch the job until it ends");
  command->add_option("--download", flags->download,
                      "Folder to write the result to (and wait for it)");
  command->add_option("--request-id", flags->request_id,
                      "The same id submits the same job once [a new one each time]");
  command->add_flag("--validate-only", flags->validate_only,
                    "Print the spec with its defaults as JSON, submit nothing");
  AddJobFlags(command, &flags->job);
}

}  // namespace topiary
