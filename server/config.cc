#include "server/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_macros.h"
#include "common/version.h"

namespace topiary {
namespace {

absl::Status Require(bool ok, absl::string_view flag, absl::string_view remedy) {
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, " ", remedy));
}

bool IsHostAndPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  int port = 0;
  return absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 0 && port <= 65535;
}

bool IsUnixAddress(absl::string_view address) {
  return absl::StartsWith(address, "unix:") && address.size() > 5;
}

bool Between(absl::Duration value, absl::Duration low, absl::Duration high) {
  return low <= value && value <= high;
}

// The flags that CLI11 cannot read by itself, as text.
struct TextFlags {
  std::string lease_duration = "30s";
  std::string report_interval = "1s";
  std::string same_key_wait = "10m";
  std::string drain_timeout = "10s";
  std::string log_format = "text";
  std::string log_level = "info";
};

absl::Status ParseDurationFlag(const std::string& text, absl::string_view flag,
                               absl::Duration* value) {
  return Require(absl::ParseDuration(text, value), flag,
                 absl::StrCat("must be a duration such as 30s or 500ms, not \"", text, "\""));
}

absl::Status ParseTextFlags(const TextFlags& text, ServerConfig* config) {
  RETURN_IF_ERROR(
      ParseDurationFlag(text.lease_duration, "lease-duration", &config->lease_duration));
  RETURN_IF_ERROR(
      ParseDurationFlag(text.report_interval, "report-interval", &config->report_interval));
  RETURN_IF_ERROR(ParseDurationFlag(text.same_key_wait, "same-key-wait", &config->same_key_wait));
  RETURN_IF_ERROR(ParseDurationFlag(text.drain_timeout, "drain-timeout", &config->drain_timeout));
  ASSIGN_OR_RETURN(config->log_format, ParseLogFormat(text.log_format));
  ASSIGN_OR_RETURN(config->log_level, ParseLogLevel(text.log_level));
  return absl::OkStatus();
}

void AddFlags(CLI::App* app, ServerConfig* config, TextFlags* text) {
  // --some-flag is also TOPIARY_SOME_FLAG.
  const auto add = [app](const std::string& flag, auto* value, const std::string& help) {
    std::string variable = "TOPIARY_" + flag;
    std::transform(variable.begin(), variable.end(), variable.begin(),
                   [](char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
    return app->add_option("--" + flag, *value, help)->envname(variable)->capture_default_str();
  };
  add("listen", &config->listen, "host:port (or unix:PATH) to serve gRPC at; port 0: a free one");
  add("metrics-listen", &config->metrics_listen,
      "host:port to serve /metrics at; port 0: a free one; none: nowhere");
  add("data-dir", &config->data_dir, "folder of the database and the artifacts (required)");
  add("port-file", &config->port_file,
      "file to write the two addresses to, a line each, once they are listened on");
  add("lease-duration", &text->lease_duration,
      "how long a worker that says nothing keeps an attempt");
  add("report-interval", &text->report_interval, "how often workers report");
  add("same-key-wait", &text->same_key_wait,
      "how long a job that was tried before waits for a worker that gives the same bits");
  add("drain-timeout", &text->drain_timeout, "time for calls in progress after SIGTERM");
  add("max-artifact-bytes", &config->max_artifact_bytes, "of one artifact; 16GiB is understood")
      ->transform(CLI::AsSizeValue(true));
  add("max-live-jobs", &config->max_live_jobs, "jobs of one project that have not ended");
  add("max-open-uploads", &config->max_open_uploads, "uploads of one project");
  add("max-streams", &config->max_streams, "watches, uploads and downloads of all clients");
  add("threads", &config->threads, "threads for calls, and as many again for transfers");
  add("reflection", &config->reflection, "whether clients may ask which services there are");
  add("log-format", &text->log_format, "text or json");
  add("log-level", &text->log_level, "debug, info, warning or error");
}

}  // namespace

absl::Status ValidateConfig(const ServerConfig& config) {
  RETURN_IF_ERROR(
      Require(IsHostAndPort(config.listen) || IsUnixAddress(config.listen), "listen",
              absl::StrCat("must be host:port or unix:PATH, not \"", config.listen, "\"")));
  RETURN_IF_ERROR(
      Require(config.metrics_listen.empty() || config.metrics_listen == "none" ||
                  IsHostAndPort(config.metrics_listen),
              "metrics-listen",
              absl::StrCat("must be host:port or none, not \"", config.metrics_listen, "\"")));
  RETURN_IF_ERROR(Require(!config.data_dir.empty(), "data-dir",
                          "is required: name a folder for the database and the artifacts"));
  RETURN_IF_ERROR(Require(Between(config.report_interval, absl::Milliseconds(10), absl::Minutes(1)),
                          "report-interval", "must lie between 10ms and 1m"));
  RETURN_IF_ERROR(Require(
      Between(config.lease_duration, 3 * config.report_interval, absl::Hours(24)), "lease-duration",
      absl::StrCat("must lie between three report intervals (",
                   absl::FormatDuration(3 * config.report_interval), ") and 24h")));
  RETURN_IF_ERROR(Require(Between(config.same_key_wait, absl::ZeroDuration(), absl::Hours(24)),
                          "same-key-wait", "must lie between 0s and 24h"));
  RETURN_IF_ERROR(Require(Between(config.drain_timeout, absl::ZeroDuration(), absl::Minutes(10)),
                          "drain-timeout", "must lie between 0s and 10m"));
  RETURN_IF_ERROR(
      Require(config.max_artifact_bytes >= 1 && config.max_artifact_bytes <= int64_t{1} << 50,
              "max-artifact-bytes", "must lie between 1 and 2^50"));
  RETURN_IF_ERROR(Require(config.max_live_jobs >= 1, "max-live-jobs", "must be at least 1"));
  RETURN_IF_ERROR(Require(config.max_open_uploads >= 1, "max-open-uploads", "must be at least 1"));
  RETURN_IF_ERROR(Require(config.max_streams >= 1, "max-streams", "must be at least 1"));
  return Require(config.threads >= 1 && config.threads <= 256, "threads",
                 "must lie between 1 and 256");
}

absl::StatusOr<ServerCommandLine> ParseServerCommandLine(const std::vector<std::string>& flags) {
  ServerCommandLine command_line;
  TextFlags text;
  CLI::App app("The coordinator of Topiary: keeps jobs and artifacts, and gives work to workers.",
               "topiary-server");
  app.set_version_flag("--version", std::string(kVersion));
  AddFlags(&app, &command_line.config, &text);
  try {
    app.parse(std::vector<std::string>(flags.rbegin(), flags.rend()));  // it reads from the end
  } catch (const CLI::CallForHelp&) {
    command_line.text = app.help();
    return command_line;
  } catch (const CLI::CallForVersion&) {
    command_line.text = absl::StrCat("topiary-server ", kVersion, "\n");
    return command_line;
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), "; see --help"));
  }
  RETURN_IF_ERROR(ParseTextFlags(text, &command_line.config));
  RETURN_IF_ERROR(ValidateConfig(command_line.config));
  return command_line;
}

}  // namespace topiary
