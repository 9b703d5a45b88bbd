#include "client/cli/command.h"

#include "CLI/CLI.hpp"

namespace topiary {

CLI::App* CommandSet::Add(CLI::App* parent, const std::string& name, const std::string& description,
                          CommandBody body) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->fallthrough();  // --server and the like may stand behind the command too.
  commands_.emplace_back(command, std::move(body));
  return command;
}

CLI::App* CommandSet::AddGroup(const std::string& name, const std::string& description) {
  CLI::App* group = app_->add_subcommand(name, description);
  group->fallthrough();
  group->require_subcommand(1);
  return group;
}

const CommandBody* CommandSet::Chosen() const {
  for (const auto& [command, body] : commands_) {
    if (command->parsed()) return &body;
  }
  return nullptr;
}

}  // namespace topiary
