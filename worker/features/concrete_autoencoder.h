// The selector layer of the concrete autoencoder (Abid, Balin & Zou, ICML 2019), trained for the
// job's loss instead of a reconstruction.
#ifndef TOPIARY_WORKER_FEATURES_CONCRETE_AUTOENCODER_H_
#define TOPIARY_WORKER_FEATURES_CONCRETE_AUTOENCODER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/features/feature_layer.h"
#include "worker/features/feature_selector.h"

namespace topiary {

struct ConcreteAutoencoderOptions {
  // Of the softmax, from the first step to the last, along an exponential; >= 0.0001.
  double start_temperature = 10;
  double end_temperature = 0.01;
  // Learning rate of the logits over that of the weights; > 0.
  double logits_learning_rate_multiplier = 10;
  uint64_t seed = 0;
};

// One feature for each of `selectors` rows of `probabilities` [selectors, features]: in each turn
// the selector whose likeliest feature among those left is the likeliest of all takes it, so that
// no two have the same. Ties to the lower selector, then the lower feature.
std::vector<int64_t> AssignFeatures(absl::Span<const double> probabilities, int64_t selectors);

// `count` selectors, each with a logit per feature ("logits/selectors" as trainable state, 0 at
// first), stand before a first layer W' of `count` inputs, for which the first rows of the weight
// are taken: the layer's weight is V = S' W', the rows of S being softmax((logits + g) / T) with
// Gumbel noise g, drawn for each step (and not for each example) by the seed. At the end each
// selector has a feature of its own (AssignFeatures() by the softmax at T = 1); they are chosen in
// the order in which they were assigned, with that probability as score. Between steps there is no
// noise.
// INVALID_ARGUMENT, naming the field, where one is out of range, or where count x features passes
// 2^26, or count x features x outputs of the layer 2^34: no step of more can be interrupted in good
// time. UNIMPLEMENTED where a feature has several rows; else as SelectionSchedule::Create().
absl::StatusOr<std::unique_ptr<FeatureSelector>> NewConcreteAutoencoder(
    const ConcreteAutoencoderOptions& options, CandidateFeatures candidates, int64_t count,
    int64_t total_steps);

// What it keeps for each pair of a selector and a feature, with the optimizer's state and the
// copies for a checkpoint.
int64_t ConcreteAutoencoderBytes(const FeatureLayer& features, int64_t count);

}  // namespace topiary

#endif  // TOPIARY_WORKER_FEATURES_CONCRETE_AUTOENCODER_H_
