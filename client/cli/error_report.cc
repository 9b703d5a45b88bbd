#include "client/cli/error_report.h"

#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "client/cli/exit_code.h"
#include "client/cli/format.h"
#include "google/rpc/error_details.pb.h"
#include "nlohmann/json.hpp"

namespace topiary {
namespace {

struct Violation {
  std::string subject;
  std::string description;
};

template <typename Detail>
absl::optional<Detail> GetDetail(const absl::Status& status) {
  Detail detail;
  const auto payload =
      status.GetPayload(absl::StrCat("type.googleapis.com/", Detail::descriptor()->full_name()));
  if (!payload.has_value() || !detail.ParseFromString(std::string(*payload))) return {};
  return detail;
}

std::vector<Violation> Violations(const absl::Status& status) {
  std::vector<Violation> all;
  if (const auto request = GetDetail<google::rpc::BadRequest>(status)) {
    for (const auto& v : request->field_violations()) all.push_back({v.field(), v.description()});
  }
  if (const auto failure = GetDetail<google::rpc::PreconditionFailure>(status)) {
    for (const auto& v : failure->violations()) all.push_back({v.subject(), v.description()});
  }
  if (const auto quota = GetDetail<google::rpc::QuotaFailure>(status)) {
    for (const auto& v : quota->violations()) all.push_back({v.subject(), v.description()});
  }
  return all;
}

// True if the message is nothing but this violation.
bool Says(absl::string_view message, const Violation& violation) {
  return message == violation.description ||
         message == absl::StrCat(violation.subject, ": ", violation.description);
}

std::string Reason(const absl::Status& status) {
  const auto info = GetDetail<google::rpc::ErrorInfo>(status);
  return info.has_value() ? info->reason() : "";
}

// What to do next; "" where the message says it all.
std::string Advice(const absl::Status& status, absl::string_view server) {
  const std::string reason = Reason(status);
  if (reason == "ARTIFACT_MISSING") {
    return "upload it with `topiary artifact put FILE`, or name local files with --model and "
           "--train";
  }
  if (reason == "JOB_NOT_FINISHED") return "cancel it first: `topiary cancel JOB`";
  if (reason == "JOB_NOT_FOUND") return "`topiary list` shows the jobs of this project";
  if (reason == "REQUEST_ID_REUSED") {
    return "use another --request-id, or none for a new job each time";
  }
  if (reason == "ARTIFACT_NOT_FOUND") return "`topiary artifact list` shows what there is";
  if (!reason.empty()) return "";
  if (ExitCodeOf(status) == ExitCode::kUnreachable) {
    return absl::StrCat("is a server listening on ", server,
                        "? start one with `topiary-server`, name another with --server or "
                        "TOPIARY_SERVER, or do without one: `topiary run`");
  }
  if (ExitCodeOf(status) == ExitCode::kUsage) return "`topiary --help` lists commands and flags";
  return "";
}

std::string Headline(const absl::Status& status) {
  if (ExitCodeOf(status) == ExitCode::kUnreachable && Reason(status).empty()) {
    return absl::StrCat("the server cannot be reached: ", status.message());
  }
  return std::string(status.message());
}

}  // namespace

std::string ErrorText(const absl::Status& status, absl::string_view server) {
  std::string text = absl::StrCat("topiary: ", Printable(Headline(status), true), "\n");
  for (const Violation& violation : Violations(status)) {
    if (Says(status.message(), violation)) continue;
    absl::StrAppend(&text, "  ", Printable(violation.subject), ": ",
                    Printable(violation.description), "\n");
  }
  const std::string advice = Advice(status, server);
  if (!advice.empty()) absl::StrAppend(&text, "  -> ", advice, "\n");
  return text;
}

std::string ErrorJson(const absl::Status& status) {
  nlohmann::json violations = nlohmann::json::array();
  for (const Violation& violation : Violations(status)) {
    violations.push_back({{"subject", violation.subject}, {"description", violation.description}});
  }
  const nlohmann::json error = {{"error",
                                 {{"code", absl::StatusCodeToString(status.code())},
                                  {"message", std::string(status.message())},
                                  {"reason", Reason(status)},
                                  {"violations", std::move(violations)},
                                  {"exit_code", static_cast<int>(ExitCodeOf(status))}}}};
  return error.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace topiary
