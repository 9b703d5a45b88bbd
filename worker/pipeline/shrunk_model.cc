#include "worker/pipeline/shrunk_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "worker/data/loader.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/model/channel_coupling.h"
#include "worker/model/shape_inference.h"
#include "worker/pipeline/batch_feed.h"
#include "worker/pipeline/model_size.h"

namespace topiary {
namespace {

constexpr float kTolerance = 1e-5F;

using Outputs = std::vector<std::vector<float>>;

// With a store of its own, which is gone afterwards: the two models need not fit into memory
// together.
absl::StatusOr<Outputs> OutputsOf(const Graph& model, const Batch& examples, Backend* backend) {
  ASSIGN_OR_RETURN(const auto store,
                   ParameterStore::Create(model, backend, StorePurpose::kInference));
  ProgramOptions options;
  options.batch = examples.size;
  options.mode = ProgramMode::kInference;
  ASSIGN_OR_RETURN(const auto program, Program::Build(model, store.get(), backend, options));
  FeedInputs(examples, program->inputs());
  program->Forward();
  Outputs outputs;
  for (const StagedTensor& output : program->outputs()) {
    if (output.dtype != DType::kFloat32) continue;
    const auto* values = static_cast<const float*>(output.data);
    outputs.emplace_back(values, values + output.shape.element_count());
  }
  return outputs;
}

// The largest difference over the largest number; NaN where one of two that differ is not finite.
float Difference(const std::vector<float>& wanted, const std::vector<float>& got) {
  float largest = 0;
  float difference = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (std::isfinite(wanted[i])) largest = std::max(largest, std::fabs(wanted[i]));
    if (wanted[i] == got[i] || (std::isnan(wanted[i]) && std::isnan(got[i]))) continue;
    if (!std::isfinite(wanted[i]) || !std::isfinite(got[i])) return std::nanf("");
    difference = std::max(difference, std::fabs(wanted[i] - got[i]));
  }
  return difference == 0 ? 0 : difference / largest;
}

absl::Status Compare(const Outputs& wanted, const Outputs& got) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool alike = i < got.size() && got[i].size() == wanted[i].size();
    const float difference = alike ? Difference(wanted[i], got[i]) : std::nanf("");
    if (difference <= kTolerance) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "output ", i, " is off by ", difference, " of its largest number, more than ", kTolerance));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckShrinkMemory(const Graph& model, const std::map<std::string, Shape>& shapes,
                               std::optional<int64_t> memory_bytes) {
  if (!memory_bytes.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(model, shapes));
  const double bytes = BytesOfChannelCoupling(model, inferred);
  if (bytes <= static_cast<double>(*memory_bytes)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("finding the channels that go together takes ", std::ceil(bytes / (1 << 20)),
                   " MiB or more, and the job may use ", *memory_bytes >> 20,
                   " MiB beside its weights and data: use a worker with more memory "
                   "(spec.placement.memory_bytes)"));
}

absl::StatusOr<std::optional<ShrunkModel>> ShrinkAndCompare(
    const Graph& model, const Dataset& data, int64_t batch, std::optional<int64_t> memory_bytes,
    Backend* backend, const std::function<absl::Status()>& check) {
  LoaderOptions options;
  options.batch_size = std::min(batch, data.size());
  options.shuffle = false;
  options.drop_remainder = false;
  ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(model, options.batch_size));
  RETURN_IF_ERROR(check());
  RETURN_IF_ERROR(CheckShrinkMemory(model, shapes, memory_bytes));
  ASSIGN_OR_RETURN(ShrunkModel shrunk, Shrink(model, shapes, check));
  if (shrunk.tensors.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(const std::unique_ptr<Loader> loader, Loader::Create(data, options));
  const Batch& examples = loader->Next();
  RETURN_IF_ERROR(check());
  ASSIGN_OR_RETURN(const Outputs wanted, OutputsOf(model, examples, backend));
  RETURN_IF_ERROR(check());
  ASSIGN_OR_RETURN(const Outputs got, OutputsOf(shrunk.graph, examples, backend));
  RETURN_IF_ERROR(Compare(wanted, got));
  return shrunk;
}

absl::StatusOr<std::optional<ShrunkModel>> TryToShrink(const JobSpec& spec, const LoadedJob& job,
                                                       const Graph& model, Backend* backend,
                                                       const std::function<absl::Status()>& check,
                                                       std::vector<std::string>* warnings) {
  constexpr int64_t kCompared = 256;  // Examples, at most.
  absl::StatusOr<std::optional<ShrunkModel>> shrunk = std::nullopt;
  try {
    shrunk = ShrinkAndCompare(model, job.data.evaluation, std::min(job.batch, kCompared),
                              MemoryBesideWeights(spec, model, job.data.bytes()), backend, check);
  } catch (const std::bad_alloc&) {
    shrunk = absl::ResourceExhaustedError("there is not enough memory to make it");
  }
  if (shrunk.ok() || absl::IsCancelled(shrunk.status()) || absl::IsAborted(shrunk.status())) {
    return shrunk;
  }
  LogWarning("no shrunk model", {{"error", shrunk.status().ToString()}});
  warnings->push_back(absl::StrCat("there is no narrower model: ", shrunk.status().message()));
  return std::nullopt;
}

ShrunkReport DescribeShrunk(const Graph& model, const ShrunkModel& shrunk) {
  ShrunkReport report;
  report.parameters_before = ParametersOf(model);
  report.parameters_after = ParametersOf(shrunk.graph);
  for (const ShrunkTensor& tensor : shrunk.tensors) {
    report.tensors.push_back({tensor.name, tensor.before, tensor.after});
  }
  return report;
}

}  // namespace topiary
