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

absl::StatusOr<std::string> FetchReport(const std::string& job_name, Session* session) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  ASSIGN_OR_RETURN(const v1::Job job, jobs.Get(JobName(session->project(), job_name)));
  for (const v1::ResultFile& file : job.result().files()) {
    if (file.kind() != v1::ResultFile::REPORT) continue;
    ASSIGN_OR_RETURN(ArtifactTransfer transfer, session->artifacts());
    return transfer.Read(session->project(), file.digest(), kMaxReportBytes,
                         session->Transfers("get report"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("there is no report: the job is ", StateName(job.state())));
}

absl::StatusOr<ExitCode> Report(const std::string& source, Session* session) {
  const bool local = absl::EndsWith(source, ".json");
  ASSIGN_OR_RETURN(const std::string json, local ? LocalFileError(ReadFile(source, kMaxReportBytes))
                                                 : FetchReport(source, session));
  ASSIGN_OR_RETURN(const std::string text,
                   local ? LocalFileError(ReportText(json)) : ReportText(json));
  if (session->terminal().json()) {
    // On one line, as all JSON output.
    const nlohmann::ordered_json report = nlohmann::ordered_json::parse(json, nullptr, false);
    session->terminal().Print(absl::StrCat(
        report.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), "\n"));
  } else {
    session->terminal().Print(text);
  }
  return ExitCode::kOk;
}

}  // namespace

void AddReportCommand(CommandSet* commands) {
  const auto source = std::make_shared<std::string>();
  CLI::App* command =
      commands->Add(commands->app(), "report", "Show what a job has measured",
                    [source](Session* session) { return Report(*source, session); });
  command->add_option("job", *source, "The job's name, or a report FILE.json")->required();
}

}  // namespace topiary
