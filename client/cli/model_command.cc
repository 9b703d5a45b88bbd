#include "client/cli/model_command.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/written_file.h"
#include "client/local_file.h"
#include "client/model_zoo/model_zoo.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

struct NewFlags {
  std::string architecture;
  std::string path;
  std::string input_shape;
  std::string hidden;
  int64_t classes = 10;
  uint64_t seed = 0;
};

// "1,28,28" or "1x28x28".
absl::StatusOr<std::vector<int64_t>> ParseNumbers(absl::string_view flag, absl::string_view text) {
  std::vector<int64_t> numbers;
  if (text.empty()) return numbers;
  for (const absl::string_view part : absl::StrSplit(text, absl::ByAnyChar(",x"))) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(part, &number)) {
      return UsageError(
          absl::StrCat(flag, " takes numbers separated by commas, not \"", text, "\""));
    }
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<ExitCode> New(const NewFlags& flags, Session* session) {
  NewModelOptions options;
  ASSIGN_OR_RETURN(options.sample_shape, ParseNumbers("--input-shape", flags.input_shape));
  ASSIGN_OR_RETURN(options.hidden, ParseNumbers("--hidden", flags.hidden));
  options.classes = flags.classes;
  options.seed = flags.seed;
  const absl::StatusOr<std::string> bytes = NewModel(flags.architecture, options);
  if (!bytes.ok()) return UsageError(bytes.status().message());
  RETURN_IF_ERROR(LocalFileError(WriteFileAtomically(flags.path, *bytes)));
  RETURN_IF_ERROR(ShowWrittenFile(flags.path, session));
  return ExitCode::kOk;
}

std::string ArchitectureHelp() {
  return absl::StrJoin(Architectures(), "; ", [](std::string* out, const ArchitectureInfo& info) {
    absl::StrAppend(out, info.name, ": ", info.description, ", input ",
                    absl::StrJoin(info.default_sample_shape, "x"));
  });
}

}  // namespace

void AddModelCommand(CommandSet* commands) {
  CLI::App* group = commands->AddGroup("model", "Make models");
  const auto flags = std::make_shared<NewFlags>();
  CLI::App* command = commands->Add(group, "new", "Write an untrained network as ONNX",
                                    [flags](Session* session) { return New(*flags, session); });
  command->add_option("architecture", flags->architecture, ArchitectureHelp())->required();
  command->add_option("path", flags->path, "File to write")->required();
  command->add_option("--input-shape", flags->input_shape,
                      "Of one sample, as in 1,28,28 [the architecture's]");
  command->add_option("--classes", flags->classes, "Outputs [10]");
  command->add_option("--hidden", flags->hidden, "Of mlp, widths as in 512,256 [1024,1024]");
  command->add_option("--seed", flags->seed, "Of the initial weights [0]");
}

}  // namespace topiary
