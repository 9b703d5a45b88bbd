#include "client/cli/sweep_details.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/report_command.h"
#include "client/cli/report_tables.h"
#include "client/cli/sweep_tables.h"
#include "common/status_macros.h"

namespace topiary {

absl::StatusOr<std::string> SweepDetails(Session* session, const v1::Job& job) {
  if (!job.has_children() || session->terminal().json()) return std::string();
  if (!job.result().files().empty()) {
    ASSIGN_OR_RETURN(const std::string json, FetchReport(job, session));
    ASSIGN_OR_RETURN(const std::string text, ReportText(json));
    return absl::StrCat("\n", text);
  }
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  JobFilter filter;
  filter.parent_job = job.name();
  ASSIGN_OR_RETURN(const std::vector<v1::Job> children, jobs.List(filter));
  return absl::StrCat("\n", ChildTable(children));
}

}  // namespace topiary
