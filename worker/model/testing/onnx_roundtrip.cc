// Reads an ONNX model, settles its shapes, writes it again in its inference form, and prints what
// it found as JSON: how tests that have ONNX's own checker at hand drive the importer and exporter.
//
//   onnx_roundtrip IN.onnx OUT.onnx [BATCH]
//
// Exit code 1 and the error on standard error where the model is refused.
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/model/graph.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

std::string Quoted(const std::vector<std::string>& names) {
  return absl::StrCat("[",
                      absl::StrJoin(names, ",",
                                    [](std::string* out, const std::string& name) {
                                      absl::StrAppend(out, "\"", name, "\"");
                                    }),
                      "]");
}

absl::Status Run(const std::string& in, const std::string& out, int64_t batch) {
  ASSIGN_OR_RETURN(const Graph graph, ImportOnnx(in));
  using Shapes = std::map<std::string, Shape>;
  ASSIGN_OR_RETURN(const Shapes shapes, InputShapesForBatch(graph, batch));
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  RETURN_IF_ERROR(ExportOnnx(graph, out));
  std::vector<std::string> live;
  for (int i : inferred.live_nodes) live.push_back(graph.nodes[i].op_type);
  std::vector<std::string> layers;
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) layers.push_back(layer.weight);
  std::vector<std::string> outputs;
  for (const ValueInfo& output : graph.outputs) {
    outputs.push_back(inferred.values.at(output.name).shape.ToString());
  }
  std::cout << "{\"live\":" << Quoted(live) << ",\"parameters\":" << Quoted(inferred.parameters)
            << ",\"statistics\":" << Quoted(inferred.statistics) << ",\"layers\":" << Quoted(layers)
            << ",\"outputs\":" << Quoted(outputs) << "}\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace topiary

int main(int argc, char** argv) {
  int64_t batch = 4;
  if (argc < 3 || argc > 4 || (argc == 4 && !absl::SimpleAtoi(argv[3], &batch))) {
    std::cerr << "usage: onnx_roundtrip IN.onnx OUT.onnx [BATCH]\n";
    return 2;
  }
  const absl::Status status = topiary::Run(argv[1], argv[2], batch);
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
