// Methods that prune by calibration: what their specs may say.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/api/spec_defaults.h"
#include "server/api/spec_validation.h"
#include "server/api/spec_validation_test_util.h"

namespace topiary {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

// `patch` as of PatchedSpec().
struct RefusedCase {
  const char* name;
  const char* patch;
  const char* path;
};

class RefusedCalibration : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedCalibration, IsRefusedWithThePath) {
  EXPECT_THAT(PathsRefused(PatchedSpec(GetParam().patch)), Contains(GetParam().path));
}

const RefusedCase kCases[] = {
    {"CalibratedByNothing", "wanda { calibration_examples: -1 }",
     "spec.wanda.calibration_examples"},
    {"UnknownComparison", "wanda { comparison: 12 }", "spec.wanda.comparison"},
    {"ComparedWithinRunsAnyway", "wanda { comparison: LAYER } target { n_of_m { n: 2 m: 4 } }",
     "spec.wanda.comparison"},
    {"ComparedWithOutputsOfAStructure", "wanda { comparison: OUTPUT } target { structure: HEADS }",
     "spec.wanda.comparison"},
    {"ChunksOfAStructure", "sparsegpt { chunk_inputs: 64 } target { structure: NEURONS }",
     "spec.sparsegpt.chunk_inputs"},
    {"CalibratedChannels", "sparsegpt {} target { structure: CHANNELS }", "spec.target.structure"},
    {"CalibratedLayersOfATransformer", "group_obs {} target { structure: TRANSFORMER_LAYERS }",
     "spec.target.structure"},
    {"CalibratedRowsOfTables", "wanda {} target { structure: EMBEDDING_ROWS }",
     "spec.target.structure"},
    {"CalibratedLayersThatCompete", "wanda {} target { budget: GLOBAL }", "spec.target.budget"},
    {"NoDampening", "sparsegpt { dampening: 0 }", "spec.sparsegpt.dampening"},
    {"NegativeChunk", "sparsegpt { chunk_inputs: -1 }", "spec.sparsegpt.chunk_inputs"},
    {"ObsByNothing", "group_obs { calibration_examples: -1 }",
     "spec.group_obs.calibration_examples"},
    {"ObsOfLayersThatCompete", "group_obs {} target { budget: GLOBAL }", "spec.target.budget"},
    {"RewindOfCalibration", "wanda {} target { rewind {} }", "spec.target.rewind"},
    {"ComparedWithATrainingOfNoLength", "wanda {} outputs { train_dense_comparison: true }",
     "spec.outputs.train_dense_comparison"},
};
INSTANTIATE_TEST_SUITE_P(Cases, RefusedCalibration, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST(CalibrationSpec, MayPruneStructures) {
  for (const char* const patch :
       {"wanda {} target { structure: HEADS }", "wanda {} target { structure: CHANNELS }",
        "wanda {} target { structure: TRANSFORMER_LAYERS }",
        "wanda {} target { structure: EMBEDDING_DIMENSIONS }",
        "sparsegpt {} target { structure: HEADS }", "sparsegpt {} target { structure: NEURONS }",
        "group_obs {} target { structure: HEADS }", "group_obs {} target { structure: NEURONS }"}) {
    v1::CompressionSpec spec = PatchedSpec(patch);
    EXPECT_THAT(PathsRefused(spec), IsEmpty()) << patch;
    FillDefaults(&spec);
    EXPECT_THAT(PathsRefused(spec), IsEmpty()) << patch << " with defaults";
  }
}

TEST(CalibrationSpec, NeedsALengthForWhatOnlyTrainingReads) {
  v1::CompressionSpec spec = ShortestSpec();
  spec.mutable_wanda();
  EXPECT_THAT(PathsRefused(spec), IsEmpty());
  spec.mutable_task()->mutable_learning_rate()->set_base(0.1);
  EXPECT_THAT(PathsRefused(spec), ElementsAre("spec.task.learning_rate"));
  spec.mutable_task()->set_steps(3);
  spec.mutable_outputs()->set_train_dense_comparison(true);
  EXPECT_THAT(PathsRefused(spec), IsEmpty());
}

}  // namespace
}  // namespace topiary
