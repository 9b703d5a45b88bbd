#ifndef TOPIARY_CLIENT_CLI_COMMAND_H_
#define TOPIARY_CLIENT_CLI_COMMAND_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/exit_code.h"
#include "client/cli/session.h"

namespace CLI {
class App;
}

namespace topiary {

// What a command does once its flags are parsed. An error is printed by main.
using CommandBody = std::function<absl::StatusOr<ExitCode>(Session*)>;

// The commands by what CLI11 knows them by. Not thread-safe.
class CommandSet {
 public:
  // `app` must outlive this.
  explicit CommandSet(CLI::App* app) : app_(app) {}

  CLI::App* app() const { return app_; }

  // A command under `parent`, which asks for one of its own if it has any.
  CLI::App* Add(CLI::App* parent, const std::string& name, const std::string& description,
                CommandBody body);
  // A name that only has commands under it, such as "artifact".
  CLI::App* AddGroup(const std::string& name, const std::string& description);

  // The body of the command that was parsed; null if none was.
  const CommandBody* Chosen() const;

 private:
  CLI::App* const app_;
  std::vector<std::pair<CLI::App*, CommandBody>> commands_;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_COMMAND_H_
