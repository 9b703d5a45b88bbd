// Which inputs of a network are its features, and where its first layer reads them.
//
// A feature is a number of an example, or an id with the embedding that is looked up for it; a mask
// on features multiplies rows of the weight of the first layer, (x o a) W = x (a o W), so that the
// machinery of pruning (a scale per block) serves it, a block being a row.
#ifndef TOPIARY_WORKER_FEATURES_FEATURE_LAYER_H_
#define TOPIARY_WORKER_FEATURES_FEATURE_LAYER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/model/graph.h"
#include "worker/model/layers.h"

namespace topiary {

// A number (or id) of an example: element `index`, counted in the order of the elements in memory,
// of the input at place `input` among the graph's.
struct InputElement {
  int32_t input = 0;
  int64_t index = 0;
  bool operator<(const InputElement& other) const {
    return input != other.input ? input < other.input : index < other.index;
  }
  bool operator==(const InputElement& other) const {
    return input == other.input && index == other.index;
  }
};

// What is chosen or left out as one.
struct Feature {
  std::string name;                    // Of a group; else empty.
  std::vector<InputElement> elements;  // Ascending; not empty.
  std::vector<int64_t> rows;           // Of the first layer's weight, ascending; not empty.
};

// Features and the layer that reads them. Every row of the layer belongs to exactly one feature.
struct FeatureLayer {
  PrunableLayer layer;  // One matrix: a Gemm or MatMul.
  std::string value;    // What it multiplies: [batch, layer.rows].
  std::vector<Feature> features;
  std::vector<std::string> inputs;  // Names of the graph's, as InputElement counts them.
  // Numbers of an example; 0 unless the model has one input, of float32.
  int64_t input_width = 0;
};

// Elements that are chosen together.
struct FeatureGroup {
  std::string name;
  std::vector<InputElement> elements;
};

// The features of `graph`, in the order of the graph's inputs and their elements; a group takes the
// place of its first element. Between inputs and first layer there may be: BatchNormalization over
// features (of values of rank 2), operators that act on each number by itself, with constants too,
// operators that only change the shape, Concat, and Gather from a table of embeddings. Nodes that
// read no numbers, as those that compute with shapes, do not count.
//
// UNIMPLEMENTED, naming the node and saying what is supported, where something else reads the
// features before a layer does, several layers do, or the layer's weight is more than one matrix,
// or has other readers; INVALID_ARGUMENT where a group names an element that is no feature, or one
// twice, or a constant index of a Gather lies outside its axis; RESOURCE_EXHAUSTED where the values
// before the first layer have more than 2^22 numbers per example. Other errors as InferShapes().
absl::StatusOr<FeatureLayer> FindFeatures(const Graph& graph,
                                          const std::vector<FeatureGroup>& groups = {});

// A copy of `graph` whose first layer reads the rows `kept` (ascending, of layer.rows, at least
// one) alone: it has the same inputs, of which it picks columns with a Gather as early as it can;
// parameters of BatchNormalization and embeddings of features left out are gone. Names stay.
absl::StatusOr<Graph> NarrowFeatures(const Graph& graph, const FeatureLayer& features,
                                     absl::Span<const int64_t> kept);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_FEATURE_LAYER_H_
