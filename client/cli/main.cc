// The `topiary` command: see README.md beside this file.
#include <cstdio>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cancellation.h"
#include "client/cli/artifact_commands.h"
#include "client/cli/command.h"
#include "client/cli/convert_command.h"
#include "client/cli/error_report.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/job_commands.h"
#include "client/cli/model_command.h"
#include "client/cli/report_command.h"
#include "client/cli/run_command.h"
#include "client/cli/session.h"
#include "client/cli/shrink_command.h"
#include "client/cli/submit_command.h"
#include "client/cli/terminal.h"
#include "client/cli/version_command.h"
#include "client/cli/worker_command.h"

namespace topiary {
namespace {

void AddGlobalFlags(CLI::App* app, GlobalFlags* flags) {
  app->add_option("--server", flags->server, "Address of the server [localhost:7070]")
      ->envname("TOPIARY_SERVER");
  app->add_option("--project", flags->project, "Whose jobs and artifacts [default]")
      ->envname("TOPIARY_PROJECT");
  app->add_option("--output", flags->output, "text or json [text]")
      ->check(CLI::IsMember({"text", "json"}));
}

// Flags that could not be parsed: whether they ask for JSON must be told from the words themselves.
int ReportParseError(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const absl::string_view word = argv[i];
    json = json || word == "--output=json" ||
           (word == "json" && absl::string_view(argv[i - 1]) == "--output");
  }
  if (!json || error.get_exit_code() == 0) {
    // Prints help or the mistake; 0 for help.
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  std::fputs(absl::StrCat(ErrorJson(UsageError(error.what())), "\n").c_str(), stderr);
  return static_cast<int>(ExitCode::kUsage);
}

// Runs the chosen command and reports its error.
int RunCommand(const CommandBody& body, const GlobalFlags& flags, Cancellation* cancellation) {
  Terminal terminal(stdout, stderr, flags.output == "json");
  Session session(flags, &terminal, cancellation);
  const absl::StatusOr<ExitCode> exit_code = body(&session);
  if (exit_code.ok()) return static_cast<int>(*exit_code);
  terminal.EndDrawing();
  const std::string text = terminal.json() ? absl::StrCat(ErrorJson(exit_code.status()), "\n")
                                           : ErrorText(exit_code.status(), session.server());
  std::fputs(text.c_str(), stderr);
  return static_cast<int>(ExitCodeOf(exit_code.status()));
}

int Main(int argc, char** argv) {
  // Never freed: the thread that waits for signals uses it to the end.
  static Cancellation* const cancellation = new Cancellation();
  CancelOnSignals(cancellation);
  CLI::App app("Prunes neural networks through a Topiary server.", "topiary");
  app.require_subcommand(1);
  GlobalFlags flags;
  AddGlobalFlags(&app, &flags);
  CommandSet commands(&app);
  AddRunCommand(&commands);
  AddBenchCommand(&commands);
  AddSubmitCommand(&commands);
  AddJobCommands(&commands);
  AddReportCommand(&commands);
  AddArtifactCommands(&commands);
  AddWorkerCommand(&commands);
  AddModelCommand(&commands);
  AddConvertCommand(&commands);
  AddShrinkCommand(&commands);
  AddVersionCommand(&commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportParseError(app, error, argc, argv);
  }
  const CommandBody* const body = commands.Chosen();
  return body == nullptr ? static_cast<int>(ExitCode::kUsage)
                         : RunCommand(*body, flags, cancellation);
}

}  // namespace
}  // namespace topiary

int main(int argc, char** argv) { return topiary::Main(argc, argv); }
