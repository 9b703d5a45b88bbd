#include <ostream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "server/api/spec_validation.h"

namespace topiary {
namespace {

std::vector<std::string> PathsRefused(const std::string& text) {
  v1::CompressionSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  auto* file = spec.mutable_model()->add_files();
  file->set_path("model.onnx");
  file->set_digest(std::string(64, 'a'));
  spec.mutable_data()->mutable_train()->mutable_npz()->set_digest(std::string(64, 'b'));
  FieldViolations violations;
  ValidateSpec(spec, "spec", &violations);
  std::vector<std::string> paths;
  for (const FieldViolation& violation : violations.violations()) paths.push_back(violation.field);
  return paths;
}

struct RefusedCase {
  const char* name;
  const char* spec;
  const char* path;  // The only one.
};

void PrintTo(const RefusedCase& refused, std::ostream* out) { *out << refused.name; }

class RefusedSelection : public testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedSelection, IsRefusedWithThePath) {
  EXPECT_THAT(PathsRefused(GetParam().spec), testing::ElementsAre(GetParam().path));
}

const RefusedCase kFeatureCases[] = {
    {"FeaturesWithATarget", "feature_selection { count: 5 } target { sparsity: 0.5 }",
     "spec.target"},
    {"NoFeatures", "feature_selection {}", "spec.feature_selection.count"},
    {"MorePerStepThanFeatures",
     "feature_selection { count: 5 sequential_attention { features_per_step: 6 } }",
     "spec.feature_selection.sequential_attention.features_per_step"},
    {"WarmupOfAll", "feature_selection { count: 5 sequential_attention { warmup_fraction: 1 } }",
     "spec.feature_selection.sequential_attention.warmup_fraction"},
    {"LogitsThatStay",
     "feature_selection { count: 5 sequential_attention { logits_learning_rate_multiplier: 0 } }",
     "spec.feature_selection.sequential_attention.logits_learning_rate_multiplier"},
    {"OmpOfNoneAtAStep", "feature_selection { count: 5 omp { features_per_step: 0 } }",
     "spec.feature_selection.omp.features_per_step"},
    {"OmpOfNoBatches", "feature_selection { count: 5 omp { gradient_batches: 0 } }",
     "spec.feature_selection.omp.gradient_batches"},
    {"SequentialLassoOfNoStrength",
     "feature_selection { count: 5 sequential_lasso { strength: 0 } }",
     "spec.feature_selection.sequential_lasso.strength"},
    {"GroupLassoOfNoStrength", "feature_selection { count: 5 group_lasso { strength: 0 } }",
     "spec.feature_selection.group_lasso.strength"},
    {"MaskThatStays",
     "feature_selection { count: 5 liao_latty_yang { mask_learning_rate_multiplier: 0 } }",
     "spec.feature_selection.liao_latty_yang.mask_learning_rate_multiplier"},
    {"GatesWithoutNoise", "feature_selection { count: 5 stochastic_gates { deviation: 0 } }",
     "spec.feature_selection.stochastic_gates.deviation"},
    {"GatesOfNegativeStrength", "feature_selection { count: 5 stochastic_gates { strength: -1 } }",
     "spec.feature_selection.stochastic_gates.strength"},
    {"SelectorsThatHeat",
     "feature_selection { count: 5 concrete_autoencoder { end_temperature: 11 } }",
     "spec.feature_selection.concrete_autoencoder.end_temperature"},
    {"SelectorsWithoutTemperature",
     "feature_selection { count: 5 concrete_autoencoder { start_temperature: 0 } }",
     "spec.feature_selection.concrete_autoencoder.start_temperature"},
    {"SelectionOfNoEpochs", "feature_selection { count: 5 epochs: 0 }",
     "spec.feature_selection.epochs"},
    {"SelectionOfNoSteps", "feature_selection { count: 5 steps: 0 }",
     "spec.feature_selection.steps"},
    {"EpochsOfRandomFeatures", "feature_selection { count: 5 random {} epochs: 3 }",
     "spec.feature_selection.epochs"},
    {"StepsOfLinearOmp", "feature_selection { count: 5 omp_linear {} steps: 3 }",
     "spec.feature_selection.steps"},
    {"GroupWithoutAName", "feature_selection { count: 5 groups { columns: 1 } }",
     "spec.feature_selection.groups[0].name"},
    {"GroupsOfOneName",
     "feature_selection { count: 5 groups { name: 'a' columns: 1 } "
     "groups { name: 'a' columns: 2 } }",
     "spec.feature_selection.groups[1].name"},
    {"SelectionOfNothingButWarmUp",
     "feature_selection { count: 5 steps: 10 } task { learning_rate { warmup_steps: 10 } }",
     "spec.feature_selection.steps"},
    {"GroupOfNothing", "feature_selection { count: 5 groups { name: 'a' } }",
     "spec.feature_selection.groups[0].columns"},
    {"GroupOfANegativeColumn", "feature_selection { count: 5 groups { name: 'a' columns: -1 } }",
     "spec.feature_selection.groups[0].columns[0]"},
    {"ColumnInTwoGroups",
     "feature_selection { count: 5 groups { name: 'a' columns: 1 } "
     "groups { name: 'b' columns: [2, 1] } }",
     "spec.feature_selection.groups[1].columns[1]"},
    {"SelectionWithADenseComparison",
     "feature_selection { count: 5 } outputs { train_dense_comparison: true }",
     "spec.outputs.train_dense_comparison"},
    {"SelectionWithATeacher", "feature_selection { count: 5 } task { distillation {} }",
     "spec.task.distillation"},
    {"SelectionWithBlocks", "feature_selection { count: 5 } outputs { block_sparse: true }",
     "spec.outputs.block_sparse"},
};

INSTANTIATE_TEST_SUITE_P(Features, RefusedSelection, testing::ValuesIn(kFeatureCases),
                         [](const testing::TestParamInfo<RefusedCase>& info) {
                           return info.param.name;
                         });

TEST(SpecValidation, ASelectionOfGroupsWithAnySelectorIsAccepted) {
  for (const std::string selector : {"", "sequential_attention {}", "omp {}", "sequential_lasso {}",
                                     "group_lasso {}", "liao_latty_yang {}", "stochastic_gates {}",
                                     "concrete_autoencoder {}", "omp_linear {}", "random {}"}) {
    EXPECT_THAT(PathsRefused("feature_selection { count: 5 groups { name: 'a' columns: [0, 2] } " +
                             selector + " }"),
                testing::IsEmpty())
        << selector;
  }
}

}  // namespace
}  // namespace topiary
