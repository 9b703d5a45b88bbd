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
    case Structure::kBranches:
      return "branches";
    case Structure::kTransformerLayers:
      return "transformer_layers";
    case Structure::kEmbeddingDimensions:
      return "embedding_dimensions";
    case Structure::kEmbeddingRows:
      return "embedding_rows";
    case Structure::kEmbeddingTables:
      return "embedding_tables";
  }
  return "unknown";
}

}  // namespace topiary
