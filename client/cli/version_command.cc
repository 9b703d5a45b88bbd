#include "client/cli/version_command.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/version.h"
#include "grpcpp/grpcpp.h"
#include "nlohmann/json.hpp"

namespace topiary {

void AddVersionCommand(CommandSet* commands) {
  commands->Add(
      commands->app(), "version", "Show this program's version",
      [](Session* session) -> absl::StatusOr<ExitCode> {
        if (session->terminal().json()) {
          const nlohmann::json versions = {{"topiary", kVersion}, {"grpc", grpc::Version()}};
          session->terminal().Print(absl::StrCat(versions.dump(), "\n"));
        } else {
          session->terminal().Print(
              absl::StrCat("topiary ", kVersion, ", gRPC ", grpc::Version(), "\n"));
        }
        return ExitCode::kOk;
      });
}

}  // namespace topiary
