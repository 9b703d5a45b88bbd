#include "client/cli/shrink_command.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/cli/format.h"
#include "client/cli/table.h"
#include "client/cli/written_file.h"
#include "client/local_file.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "worker/export/shrink.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"

namespace topiary {
namespace {

struct ShrinkFlags {
  std::string model;
  std::string path;
};

absl::StatusOr<ShrunkModel> ShrinkFile(const std::string& path) {
  ASSIGN_OR_RETURN(const Graph graph, ImportOnnx(path));
  // Any batch will do, but some files allow only one.
  int64_t batch = 2;
  for (const ValueInfo& input : graph.inputs) {
    if (!input.dims.empty() && input.dims[0].fixed()) batch = input.dims[0].extent;
  }
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(graph, batch));
  return Shrink(graph, shapes);
}

nlohmann::json ToJson(const Shape& shape) {
  return std::vector<int64_t>(shape.dims().begin(), shape.dims().end());
}

absl::StatusOr<ExitCode> Shrink(const ShrinkFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(const ShrunkModel model, LocalFileError(ShrinkFile(flags.model)));
  RETURN_IF_ERROR(LocalFileError(ExportOnnx(model.graph, flags.path)));
  nlohmann::json tensors = nlohmann::json::array();
  Table table({{"tensor"}, {"before"}, {"after"}});
  for (const ShrunkTensor& tensor : model.tensors) {
    table.AddRow({Printable(tensor.name), tensor.before.ToString(), tensor.after.ToString()});
    tensors.push_back({{"name", tensor.name},
                       {"before", ToJson(tensor.before)},
                       {"after", ToJson(tensor.after)}});
  }
  if (!session->terminal().json()) {
    session->terminal().Print(table.empty() ? "nothing to take away: no channel is empty\n"
                                            : table.Render());
  }
  RETURN_IF_ERROR(ShowWrittenFile(flags.path, session, {{"tensors", tensors}}));
  return ExitCode::kOk;
}

}  // namespace

void AddShrinkCommand(CommandSet* commands) {
  const auto flags = std::make_shared<ShrinkFlags>();
  CLI::App* command =
      commands->Add(commands->app(), "shrink", "Take emptied channels out of an ONNX model",
                    [flags](Session* session) { return Shrink(*flags, session); });
  command->add_option("model", flags->model, "A pruned .onnx file")->required();
  command->add_option("path", flags->path, "The .onnx file to write")->required();
}

}  // namespace topiary
