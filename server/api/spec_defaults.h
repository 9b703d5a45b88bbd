#ifndef TOPIARY_SERVER_API_SPEC_DEFAULTS_H_
#define TOPIARY_SERVER_API_SPEC_DEFAULTS_H_

#include "topiary/v1/spec.pb.h"

namespace topiary {

// Between which parts of the training a method prunes where its spec does not say.
struct Stretch {
  double begin_fraction;
  double end_fraction;
};
inline constexpr Stretch kGradualStretch = {0.2, 0.7};  // All methods but the next.
inline constexpr Stretch kFisherAttentionStretch = {0.05, 0.5};

// Writes the defaults that proto/topiary/v1/spec.proto names into what a valid spec leaves out:
// afterwards every oneof is chosen (but the length of a training that there is none of) and every
// enum specified, and each number is set whose default does not depend on the model or the data.
// Applied twice, it changes nothing more.
void FillDefaults(v1::CompressionSpec* spec);

// The metrics of a task that names none.
void FillMetrics(v1::Task* task);

// Whether the method prunes, as the one does that is taken where none is named.
bool Prunes(const v1::CompressionSpec& spec);

// Whether the method prunes by calibration examples, before any training.
bool PrunesByCalibration(const v1::CompressionSpec& spec);

// Whether more than blocks of weights is pruned.
bool HasStructure(const v1::PruningTarget& target);

// Whether the job has steps of training: of a spec with or without its defaults.
bool Trains(const v1::CompressionSpec& spec);

// Whether the selector of features chooses while a network trains.
bool TrainsToSelect(const v1::FeatureSelectionMethod& method);

// Whether the plan of the method prunes step by step, which schedule_constant and
// mask_refresh_steps are for.
bool HasSparsificationPhase(const v1::SequentialAttentionPlusPlusMethod& method);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SPEC_DEFAULTS_H_
