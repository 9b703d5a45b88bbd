#ifndef TOPIARY_CLIENT_MODEL_ZOO_MODEL_ZOO_H_
#define TOPIARY_CLIENT_MODEL_ZOO_MODEL_ZOO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace topiary {

// A small architecture to start from.
struct ArchitectureInfo {
  std::string name;
  std::string description;
  std::vector<int64_t> default_sample_shape;  // Without the batch axis.
};

// All of them, by name.
absl::Span<const ArchitectureInfo> Architectures();

struct NewModelOptions {
  std::vector<int64_t> sample_shape;  // Empty: the architecture's default.
  int64_t classes = 10;               // Width of the last layer.
  std::vector<int64_t> hidden;        // mlp only: widths of the hidden layers. Empty: {1024, 1024}.
  uint64_t seed = 0;                  // Of the initial weights.
};

// The bytes of an ONNX file: an untrained network whose outputs are logits [batch, classes].
// Equal arguments give equal bytes on every machine.
// NOT_FOUND for an unknown architecture (the message lists the known ones); INVALID_ARGUMENT if the
// sample shape is too small for it or an option does not apply.
absl::StatusOr<std::string> NewModel(absl::string_view architecture,
                                     const NewModelOptions& options);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_MODEL_ZOO_MODEL_ZOO_H_
