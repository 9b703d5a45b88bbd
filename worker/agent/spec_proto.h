// Turns the messages of a lease into the plain structs of the pipeline.
#ifndef TOPIARY_WORKER_AGENT_SPEC_PROTO_H_
#define TOPIARY_WORKER_AGENT_SPEC_PROTO_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "topiary/v1/spec.pb.h"
#include "worker/pipeline/job_spec.h"

namespace topiary {

// The artifacts of a spec's data, each digest once, in the order of the fields. The model's files
// are not among them: they are laid out under their own names (see ModelFiles).
std::vector<std::string> DataDigests(const v1::CompressionSpec& spec);

struct ModelFiles {
  struct File {
    std::string path;  // Relative to the model's folder.
    std::string digest;
  };
  std::vector<File> files;
  std::string main;  // The path of the .onnx file.
};

// Checks again what the coordinator has checked, because a path that leaves the model's folder
// would be written to this machine's disk. INVALID_ARGUMENT for such a path, for a digest that is
// none, for two files of one path and where there is not exactly one main file.
absl::StatusOr<ModelFiles> ConvertModelFiles(const v1::Model& model);

// `paths` has a local file for each of DataDigests(spec); `model_path` is the main .onnx file. The
// coordinator has filled in the defaults; where a field is absent all the same, JobSpec's default
// holds. threads: of the attempt, when the spec does not say. INVALID_ARGUMENT, naming the field,
// for what this worker does not know, as a method that a newer coordinator sends.
absl::StatusOr<JobSpec> ConvertSpec(const v1::CompressionSpec& spec, const std::string& model_path,
                                    const std::map<std::string, std::string>& paths, int threads);

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_SPEC_PROTO_H_
