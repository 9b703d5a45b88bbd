#include "client/cli/convert_command.h"

#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "client/cli/written_file.h"
#include "client/local_file.h"
#include "common/status_macros.h"
#include "worker/export/block_sparse_file.h"
#include "worker/model/onnx_export.h"

namespace topiary {
namespace {

struct ConvertFlags {
  std::string model;
  std::string path;
};

absl::StatusOr<ExitCode> Convert(const ConvertFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(const BlockSparseModel model, LocalFileError(ReadBlockSparseFile(flags.model)));
  RETURN_IF_ERROR(LocalFileError(ExportOnnx(model.graph, flags.path)));
  RETURN_IF_ERROR(ShowWrittenFile(flags.path, session));
  return ExitCode::kOk;
}

}  // namespace

void AddConvertCommand(CommandSet* commands) {
  const auto flags = std::make_shared<ConvertFlags>();
  CLI::App* command =
      commands->Add(commands->app(), "convert", "Make a block-compressed model a dense ONNX file",
                    [flags](Session* session) { return Convert(*flags, session); });
  command->add_option("model", flags->model, "The model.safetensors of a job")->required();
  command->add_option("path", flags->path, "The .onnx file to write")->required();
}

}  // namespace topiary
