#include "worker/prune/structure.h"

namespace topiary {

absl::string_view StructureName(Structure structure) {
  switch (structure) {
    case Structure::kChannels:
      return "channels";
    case Structure::kNeurons:
      return "neurons";
    case Structure::kHeads:
      return "heads";
    case Structure::kEmbeddingDimensions:
      return "embedding_dimensions";
  }
  return "unknown";
}

}  // namespace topiary
