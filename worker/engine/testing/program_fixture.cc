#include "worker/engine/testing/program_fixture.h"

#include <algorithm>
#include <utility>

#include "common/random.h"
#include "common/status_macros.h"
#include "worker/model/shape_inference.h"

namespace topiary {
namespace {

void FillNormal(const StagedTensor& tensor, Random* random) {
  float* data = static_cast<float*>(tensor.data);
  for (int64_t i = 0; i < tensor.shape.element_count(); ++i) data[i] = random->Normal();
}

// Small enough for the tables of tests.
void FillIndices(const StagedTensor& tensor, Random* random) {
  int64_t* data = static_cast<int64_t*>(tensor.data);
  for (int64_t i = 0; i < tensor.shape.element_count(); ++i) {
    data[i] = static_cast<int64_t>(random->Below(3));
  }
}

}  // namespace

absl::StatusOr<ProgramFixture> BuildFixture(const Graph& graph, const ProgramOptions& options,
                                            std::unique_ptr<Backend> backend) {
  ProgramFixture fixture;
  fixture.backend = backend != nullptr ? std::move(backend) : std::make_unique<ReferenceBackend>();
  std::map<std::string, Shape> shapes = options.input_shapes;
  if (shapes.empty()) {
    ASSIGN_OR_RETURN(shapes, InputShapesForBatch(graph, options.batch));
  }
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(graph, shapes));
  ASSIGN_OR_RETURN(fixture.store, ParameterStore::Create(graph, inferred, fixture.backend.get()));
  ASSIGN_OR_RETURN(fixture.program,
                   Program::Build(graph, fixture.store.get(), fixture.backend.get(), options));
  return fixture;
}

void FillWithRandomData(const Program& program, LossKind loss, uint64_t seed) {
  Random random(seed, kStreamTest, 1);
  for (const StagedTensor& input : program.inputs()) {
    if (input.dtype == DType::kInt64) {
      FillIndices(input, &random);
    } else {
      FillNormal(input, &random);
    }
  }
  if (loss == LossKind::kNone) return;
  for (const StagedTensor& value : program.teacher_values()) FillNormal(value, &random);
  const StagedTensor& labels = program.labels();
  const int64_t count = labels.shape.element_count();
  if (loss == LossKind::kSoftmaxCrossEntropy) {
    const int64_t classes = program.output(0).shape.element_count() / count;
    for (int64_t i = 0; i < count; ++i) {
      static_cast<int32_t*>(labels.data)[i] = static_cast<int32_t>(random.Below(classes));
    }
  } else if (loss == LossKind::kBinaryCrossEntropy) {
    for (int64_t i = 0; i < count; ++i) {
      static_cast<float*>(labels.data)[i] = static_cast<float>(random.Below(2));
    }
  } else {
    FillNormal(labels, &random);
  }
}

std::vector<float> OutputOf(const Program& program, int i) {
  const StagedTensor& output = program.output(i);
  const float* data = static_cast<const float*>(output.data);
  return std::vector<float>(data, data + output.shape.element_count());
}

}  // namespace topiary
