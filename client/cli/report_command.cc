#include "client/cli/report_command.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/messages.h"
#include "client/cli/report_tables.h"
#include "client/local_file.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace topiary {
namespace {

constexpr int64_t kMaxReportBytes = 64 << 20;

absl::StatusOr<std::string> FetchReportOf(const std::string& job_name, Session* session) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(const v1::Job job, jobs.Get(JobName(session->project(), job_name)));
  return FetchReport(job, session);
}

absl::StatusOr<ExitCode> Report(const std::string& source, Session* session) {
  const bool local = absl::EndsWith(source, ".json");
  ASSIGN_OR_RETURN(const std::string json, local ? LocalFileError(ReadFile(source, kMaxReportBytes))
                                                 : FetchReportOf(source, session));
  const absl::Status status = ShowReport(json, session);
  RETURN_IF_ERROR(local ? LocalFileError(status) : status);
  return ExitCode::kOk;
}

}  // namespace

absl::StatusOr<std::string> FetchReport(const v1::Job& job, Session* session) {
  for (const v1::ResultFile& file : job.result().files()) {
    if (file.kind() != v1::ResultFile::REPORT) continue;
    ASSIGN_OR_RETURN(ArtifactTransfer transfer, session->artifacts());
    return transfer.Read(session->project(), file.digest(), kMaxReportBytes,
                         session->Transfers("get report"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("there is no report: the job is ", StateName(job.state())));
}

absl::Status ShowReport(const std::string& json, Session* session) {
  ASSIGN_OR_RETURN(const std::string text, ReportText(json));
  if (!session->terminal().json()) {
    session->terminal().Print(text);
    return absl::OkStatus();
  }
  // On one line, as all JSON output.
  const nlohmann::ordered_json report = nlohmann::ordered_json::parse(json, nullptr, false);
  session->terminal().Print(absl::StrCat(
      report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), "\n"));
  return absl::OkStatus();
}

void AddReportCommand(CommandSet* commands) {
  const auto source = std::make_shared<std::string>();
  CLI::App* command =
      commands->Add(commands->app(), "report", "Show what a job has measured",
                    [source](Session* session) { return Report(*source, session); });
  command->add_option("job", *source, "The job's name, or a report FILE.json")->required();
}

}  // namespace topiary
