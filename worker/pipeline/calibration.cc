#include "worker/pipeline/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
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
#include "worker/model/layers.h"
#include "worker/model/shape_inference.h"
#include "worker/pipeline/batch_feed.h"
#include "worker/pipeline/task.h"
#include "worker/prune/block_scores.h"
#include "worker/prune/budget.h"
#include "worker/prune/calibrated_groups.h"
#include "worker/prune/calibration.h"
#include "worker/prune/candidate_group.h"

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

// What is pruned at a time: the blocks of a weight, or candidates that are more than that.
struct Pruned {
  size_t index = 0;  // Among the method's layers.
  std::optional<double> sparsity;
  // Of the weight, or of the matrix that reads a group; or null, and then there is the
  std::shared_ptr<const BlockPartition> partition;
  // group itself, with the matrices by which its candidates are scored.
  const CandidateGroup* group = nullptr;
  std::vector<GroupMatrix> matrices;
  int first_use = 0;  // Node.
};

// By the first node that uses each: groups come by what makes their candidates. `layers` are those
// of the graph, and outlive what is returned.
std::vector<Pruned> InOrderOfGraph(const LoadedJob& job, const std::vector<PrunableLayer>& layers) {
  std::vector<Pruned> all;
  const auto add = [&](std::optional<double> sparsity,
                       std::shared_ptr<const BlockPartition> partition) {
    Pruned pruned;
    pruned.index = all.size();
    pruned.sparsity = sparsity;
    pruned.partition = std::move(partition);
    if (pruned.partition != nullptr) pruned.first_use = pruned.partition->layer().nodes.front();
    all.push_back(std::move(pruned));
  };
  for (const LayerChoice& choice : job.choices) {
    if (choice.partition != nullptr) add(choice.sparsity, choice.partition);
  }
  for (const GroupChoice& choice : job.groups) {
    if (!choice.dense_reason.empty()) continue;
    add(choice.sparsity, choice.reader);
    if (choice.reader != nullptr) continue;
    Pruned& pruned = all.back();
    pruned.group = choice.group.get();
    pruned.matrices = MatricesOf(*choice.group, layers);
    pruned.first_use = std::numeric_limits<int>::max();
    for (const GroupMatrix& matrix : pruned.matrices) {
      pruned.first_use = std::min(pruned.first_use, matrix.layer->nodes.front());
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Pruned& a, const Pruned& b) { return a.first_use < b.first_use; });
  return all;
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
    const std::vector<PrunableLayer> layers = FindPrunableLayers(job_.graph);
    const std::vector<Pruned> all = InOrderOfGraph(job_, layers);
    Calibration found;
    found.supports.resize(all.size());
    for (const Pruned& pruned : all) {
      Support& support = found.supports[pruned.index];
      if (pruned.group != nullptr) {
        ASSIGN_OR_RETURN(support, PruneGroup(model, inferred, pruned, &found.weights));
        continue;
      }
      const PrunableLayer& layer = pruned.partition->layer();
      RETURN_IF_ERROR(MeasureInputs(model, inferred, layer));
      ASSIGN_OR_RETURN(support, Prune(pruned));
      // One that is used at more than one depth has changed what those after its first use read.
      if (layer.nodes.size() > 1) moments_.reset();
      found.weights.emplace(layer.weight, ValuesOf(*store_->Find(layer.weight)));
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

  absl::StatusOr<Support> Prune(const Pruned& pruned) {
    const std::string& name = pruned.partition->layer().weight;
    CalibratedLayer layer;
    layer.partition = pruned.partition;
    layer.sparsity = SparsityOf(pruned);
    layer.n_of_m = target_.n_of_m;
    layer.is_group = target_.structure.has_value();
    bool finite = true;
    layer.moments = MomentsThatSet(&finite);
    layer.weight = ValuesAt(name);
    layer.backend = backend_;
    layer.check = check_;
    absl::StatusOr<Support> support = PruneLayer(method_, layer);
    if (!finite) return NotFinite(name);
    RETURN_IF_ERROR(support.status());
    store_->MarkChanged();
    return support;
  }

  // By the scores of Wanda, the one method that asks for no blocks: all matrices are measured, then
  // the candidates with the least scores go from each.
  absl::StatusOr<Support> PruneGroup(const Graph& model, const InferredGraph& inferred,
                                     const Pruned& pruned, CalibratedWeights* weights) {
    std::vector<double> squares(pruned.group->count(), 0);
    for (const GroupMatrix& matrix : pruned.matrices) {
      RETURN_IF_ERROR(MeasureInputs(model, inferred, *matrix.layer));
      bool finite = true;
      AddSquaredScores(matrix, MomentsThatSet(&finite), ValuesAt(matrix.part->weight),
                       absl::MakeSpan(squares));
      if (!finite) return NotFinite(matrix.part->weight);
    }
    const Support support =
        SelectTopBlocks(Roots(squares), {}, KeptBlocks(SparsityOf(pruned), pruned.group->count()));
    for (const GroupMatrix& matrix : pruned.matrices) {
      const std::string& name = matrix.part->weight;
      ZeroPruned(*matrix.part, support, ValuesAt(name));
      weights->insert_or_assign(name, ValuesOf(*store_->Find(name)));
    }
    store_->MarkChanged();
    // One of several may have changed what another reads.
    if (pruned.matrices.size() > 1 || pruned.matrices[0].layer->nodes.size() > 1) moments_.reset();
    return support;
  }

  double SparsityOf(const Pruned& pruned) const {
    return pruned.sparsity.value_or(target_.sparsity.value_or(0));
  }

  absl::Span<float> ValuesAt(const std::string& weight) {
    const Parameter* parameter = store_->Find(weight);
    return {parameter->value, static_cast<size_t>(parameter->size)};
  }

  // Moments as measured last; `finite` becomes false where they are not.
  std::function<std::vector<double>(int64_t)> MomentsThatSet(bool* finite) {
    return [this, finite](int64_t group) {
      std::vector<double> mean = moments_->Mean(group);
      for (const double value : mean) *finite = *finite && std::isfinite(value);
      return mean;
    };
  }

  static absl::Status NotFinite(const std::string& weight) {
    return absl::FailedPreconditionError(
        absl::StrCat("what layer '", weight,
                     "' reads is not finite for the calibration examples: normalize the data, "
                     "or train the network first"));
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
