#ifndef TOPIARY_CLIENT_MODEL_FILES_H_
#define TOPIARY_CLIENT_MODEL_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace topiary {

// One file of a model.
struct LocalModelFile {
  std::string local_path;  // On this machine.
  std::string model_path;  // In the model's folder, as the main file names it; "/" between parts.
  bool main = false;       // The .onnx file.
};

// `model_path` alone where it ends in ".safetensors" (a block-compressed file of a job); else the
// ONNX file and the external data files that its tensors name (PyTorch writes
// "model.onnx.data" beside "model.onnx"), subgraphs and attributes included. The main file is
// first, each file comes once.
//
// INVALID_ARGUMENT if the file is no ONNX model, names a path that leaves its folder (absolute,
// "..", or a link that leads out), names more than 63 files or one that is not an ordinary file;
// NOT_FOUND for a missing file. Messages name the tensor and the file. Reads the main file into
// memory.
absl::StatusOr<std::vector<LocalModelFile>> CollectModelFiles(const std::string& model_path);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_MODEL_FILES_H_
