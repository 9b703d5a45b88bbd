// What a job prunes that is more than blocks of weights.
#ifndef TOPIARY_WORKER_PRUNE_STRUCTURE_H_
#define TOPIARY_WORKER_PRUNE_STRUCTURE_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace topiary {

enum class Structure {
  kChannels,             // Of convolutions.
  kNeurons,              // Of linear layers, as the hidden units of a feed-forward network.
  kHeads,                // Of attention; those that share keys and values are one candidate.
  kBranches,             // Of residual sums.
  kTransformerLayers,    // An attention branch with the feed-forward branch after it.
  kEmbeddingDimensions,  // Columns of embedding tables.
  kEmbeddingRows,        // Rows of embedding tables: what ids stand for.
  kEmbeddingTables,      // Whole.
};

// "channels", "neurons", ...: the words of reports.
absl::string_view StructureName(Structure structure);

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_STRUCTURE_H_
