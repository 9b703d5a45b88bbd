#include "worker/pipeline/calibration.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/data/loader.h"
#include "worker/engine/input_moments.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/model/shape_inference.h"
#include "worker/pipeline/batch_feed.h"
#include "worker/pipeline/task.h"
#include "worker/prune/budget.h"
#include "worker/prune/calibration.h"

namespace topiary {
namespace {

const MethodOptions& MethodOf(const JobSpec& spec) { return std::get<MethodOptions>(spec.method); }

// The examples to calibrate by: whole batches.
Dataset DrawExamples(const JobSpec& spec, const LoadedJob& job) {
  const int64_t wanted = CalibrationOptionsOf(MethodOf(spec))->examples;
  const int64_t size = job.data.train.size();
  const int64_t batches = std::max<int64_t>(1, std::min(wanted, size) / job.batch);
  const std::vector<uint32_t> order =
      Permutation(spec.task.seed, kStreamCalibration, 0, static_cast<uint32_t>(size));
  const std::vector<int64_t> rows(order.begin(), order.begin() + batches * job.batch);
  return SelectRows(job.data.train, rows);
}

// Runs the network up to what one layer reads.
class Tap {
 public:
  // `model` has the shapes of all weights, `store` their values.
  static absl::StatusOr<Tap> Create(const Graph& model, const std::vector<std::string>& activations,
                                    int64_t batch, ParameterStore* store, Backend* backend) {
    Tap tap;
    Graph graph = model.Clone();
    graph.outputs.clear();
    for (const std::string& activation : activations) {
      const auto is_it = [&](const ValueInfo& input) { return input.name == activation; };
      const auto input = std::find_if(model.inputs.begin(), model.inputs.end(), is_it);
      const bool given = input != model.inputs.end();
      tap.places_.push_back({given, given ? input - model.inputs.begin()
                                          : static_cast<int64_t>(graph.outputs.size())});
      if (given) continue;
      ValueInfo output;
      output.name = activation;
      graph.outputs.push_back(std::move(output));
    }
    if (graph.outputs.empty()) return tap;
    ProgramOptions options;
    options.batch = batch;
    options.mode = ProgramMode::kInference;
    ASSIGN_OR_RETURN(tap.program_, Program::Build(graph, store, backend, options));
    return tap;
  }

  // What the layer reads of `batch`, in the order of the activations named.
  std::vector<const float*> Run(const Graph& model, const Batch& batch, const Dataset& examples) {
    if (program_ != nullptr) {
      FeedInputs(batch, program_->inputs());
      program_->Forward();
    }
    std::vector<const float*> activations;
    for (const Place& place : places_) {
      activations.push_back(
          place.is_input
              ? InputOf(model.inputs[place.index].name, batch, examples)
              : static_cast<const float*>(program_->output(static_cast<int>(place.index)).data));
    }
    return activations;
  }

 private:
  struct Place {
    bool is_input;
    int64_t index;  // Of the graph's inputs, or of the program's outputs.
  };

  static const float* InputOf(const std::string& name, const Batch& batch,
                              const Dataset& examples) {
    for (size_t i = 0; i < examples.inputs.size(); ++i) {
      if (examples.inputs[i].name == name) return batch.inputs[i].data<float>();
    }
    CHECK(false) << "the data, which were checked, have no input '" << name << "'";
    return nullptr;
  }

  std::vector<Place> places_;
  std::unique_ptr<Program> program_;  // Null where all that is read is given.
};

Tensor ValuesOf(const Parameter& parameter) {
  Tensor values(DType::kFloat32, parameter.shape);
  std::copy_n(parameter.value, parameter.size, values.data<float>());
  return values;
}

class Calibrator {
 public:
  Calibrator(const JobSpec& spec, const LoadedJob& job, Backend* backend,
             const std::function<absl::Status()>& check)
      : method_(MethodOf(spec)),
        target_(PruningTargetOf(*spec.target)),
        backend_(backend),
        check_(check),
        job_(job),
        examples_(DrawExamples(spec, job)) {}

  absl::StatusOr<Calibration> Run() {
    ASSIGN_OR_RETURN(store_,
                     ParameterStore::Create(job_.graph, backend_, StorePurpose::kInference));
    // The programs read the store's.
    Graph model = job_.graph.Clone();
    RETURN_IF_ERROR(store_->DropWeightsOf(&model));
    ASSIGN_OR_RETURN(const auto shapes, InputShapesForBatch(model, job_.batch));
    ASSIGN_OR_RETURN(const InferredGraph inferred, InferShapes(model, shapes));
    Calibration found;
    for (const LayerChoice& choice : job_.choices) {
      if (choice.partition == nullptr) continue;
      RETURN_IF_ERROR(MeasureInputs(model, inferred, choice.layer));
      ASSIGN_OR_RETURN(Support support, Prune(choice));
      // One that is used at more than one depth has changed what those after its first use read.
      if (choice.layer.nodes.size() > 1) moments_.reset();
      found.supports.push_back(std::move(support));
      found.weights.emplace(choice.layer.weight, ValuesOf(*store_->Find(choice.layer.weight)));
    }
    return found;
  }

 private:
  // Leaves in moments_ those of `layer`.
  absl::Status MeasureInputs(const Graph& model, const InferredGraph& inferred,
                             const PrunableLayer& layer) {
    ASSIGN_OR_RETURN(auto moments,
                     InputMoments::Create(model, inferred, layer, MomentsFor(method_), backend_));
    if (moments_ != nullptr && moments_->key() == moments->key()) return absl::OkStatus();
    moments_ = std::move(moments);
    ASSIGN_OR_RETURN(Tap tap,
                     Tap::Create(model, moments_->inputs(), job_.batch, store_.get(), backend_));
    LoaderOptions options;
    options.batch_size = job_.batch;
    options.shuffle = false;
    ASSIGN_OR_RETURN(const auto loader, Loader::Create(examples_, options));
    for (int64_t i = 0; i < loader->batches_per_epoch(); ++i) {
      RETURN_IF_ERROR(check_());
      moments_->Add(tap.Run(model, loader->Next(), examples_));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Support> Prune(const LayerChoice& choice) {
    const std::string& name = choice.layer.weight;
    const Parameter* parameter = store_->Find(name);
    CalibratedLayer layer;
    layer.partition = choice.partition;
    layer.sparsity = choice.sparsity.value_or(target_.sparsity.value_or(0));
    layer.n_of_m = target_.n_of_m;
    bool finite = true;
    layer.moments = [&](int64_t group) {
      std::vector<double> mean = moments_->Mean(group);
      for (const double value : mean) finite = finite && std::isfinite(value);
      return mean;
    };
    layer.weight = {parameter->value, static_cast<size_t>(parameter->size)};
    layer.backend = backend_;
    layer.check = check_;
    absl::StatusOr<Support> support = PruneLayer(method_, layer);
    if (!finite) {
      return absl::FailedPreconditionError(
          absl::StrCat("what layer '", name,
                       "' reads is not finite for the calibration examples: normalize the data, "
                       "or train the network first"));
    }
    RETURN_IF_ERROR(support.status());
    store_->MarkChanged();
    return support;
  }

  const MethodOptions& method_;
  const PruningTarget target_;
  Backend* const backend_;
  const std::function<absl::Status()>& check_;
  const LoadedJob& job_;
  const Dataset examples_;
  std::unique_ptr<ParameterStore> store_;
  // Of the layer pruned last; null where that has changed them.
  std::unique_ptr<InputMoments> moments_;
};

}  // namespace

absl::StatusOr<Calibration> PruneByCalibration(const JobSpec& spec, const LoadedJob& job,
                                               Backend* backend,
                                               const std::function<absl::Status()>& check) {
  return Calibrator(spec, job, backend, check).Run();
}

}  // namespace topiary
