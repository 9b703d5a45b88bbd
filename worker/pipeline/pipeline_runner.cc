#include "worker/pipeline/pipeline_runner.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "worker/pipeline/accuracy_bound.h"
#include "worker/pipeline/allotment.h"
#include "worker/pipeline/benchmark_job.h"
#include "worker/pipeline/calibration.h"
#include "worker/pipeline/checkpoint.h"
#include "worker/pipeline/determinism.h"
#include "worker/pipeline/evaluator.h"
#include "worker/pipeline/feature_selection.h"
#include "worker/pipeline/finished_model.h"
#include "worker/pipeline/group_allotment.h"
#include "worker/pipeline/job_latencies.h"
#include "worker/pipeline/job_reporter.h"
#include "worker/pipeline/kept_model.h"
#include "worker/pipeline/loaded_job.h"
#include "worker/pipeline/planning.h"
#include "worker/pipeline/pruned_groups.h"
#include "worker/pipeline/result_files.h"
#include "worker/pipeline/resume_point.h"
#include "worker/pipeline/shrunk_model.h"
#include "worker/pipeline/task.h"
#include "worker/pipeline/training_loop.h"
#include "worker/pipeline/training_stage.h"
#include "worker/prune/block_skipping.h"
#include "worker/prune/phased_method.h"

namespace topiary {
namespace {

// One attempt, told as a story by Run(). Members are what one chapter leaves to the next.
class JobRun {
 public:
  JobRun(const JobAttempt& attempt, JobObserver* observer, const BackendFactory& backends,
         LayerCostSource* costs, Clock* clock, const PipelineOptions& options)
      : attempt_(attempt),
        spec_(attempt.spec),
        backends_(backends),
        observer_(observer),
        costs_(costs),
        clock_(clock),
        options_(options),
        reporter_(observer, clock),
        began_(clock->Now()) {}

  absl::StatusOr<JobOutcome> Run() {
    reporter_.EnterPhase("load");
    RETURN_IF_ERROR(reporter_.Check());
    ASSIGN_OR_RETURN(backend_, backends_(spec_.threads, PrecisionOf(spec_.task.precision)));
    if (std::holds_alternative<BenchmarkSpec>(spec_.method)) {
      return RunBenchmarkJob(spec_, attempt_.work_folder, costs_, backend_.get(), clock_,
                             &reporter_);
    }
    ASSIGN_OR_RETURN(job_, LoadJob(spec_, reporter_));
    if (!attempt_.checkpoint_path.empty()) Resume();
    ResultFiles files(attempt_.work_folder);
    if (!spec_.dry_run) RETURN_IF_ERROR(MeasureGivenModel());
    RETURN_IF_ERROR(Plan());
    if (spec_.dry_run) return DryRun(&files);
    if (std::holds_alternative<EvaluateSpec>(spec_.method)) {
      RETURN_IF_ERROR(MeasureLatencies({}));
      return Finish(&files, {}, {});
    }
    const bool selects = job_.features.has_value();
    if (selects) RETURN_IF_ERROR(SettleFeatures());
    if (!selects && spec_.outputs.train_dense_comparison) RETURN_IF_ERROR(SettleDenseComparison());
    return TrainAndExport(&files);
  }

 private:
  // A checkpoint that cannot be used, as one of another version of Topiary, costs time but not the
  // job: beginning anew gives the same bits.
  void Resume() {
    absl::StatusOr<Checkpoint> checkpoint = ReadResumePoint(attempt_.checkpoint_path, spec_, job_);
    if (!checkpoint.ok()) {
      LogWarning("beginning anew", {{"error", checkpoint.status().ToString()}});
      return;
    }
    record_ = checkpoint->record;
    resume_ = *std::move(checkpoint);
  }

  // Before training changes anything, with a store of its own.
  absl::Status MeasureGivenModel() {
    const bool evaluates = std::holds_alternative<EvaluateSpec>(spec_.method);
    if (resume_.has_value() && !evaluates) return absl::OkStatus();  // The checkpoint has them.
    reporter_.EnterPhase("evaluate");
    const absl::Time began = clock_->Now();
    ASSIGN_OR_RETURN(const auto store,
                     ParameterStore::Create(job_.graph, backend_.get(), StorePurpose::kInference));
    ASSIGN_OR_RETURN(const auto evaluator, NewEvaluator(store.get()));
    ASSIGN_OR_RETURN(record_.given_metrics, evaluator->Evaluate(reporter_.checker()));
    if (evaluates) {
      FindKey(evaluator->program());
      AnnounceKey();
      if (std::get<EvaluateSpec>(spec_.method).return_predictions) {
        ASSIGN_OR_RETURN(predictions_, evaluator->Predict(reporter_.checker()));
      }
    }
    reporter_.set_metrics(record_.given_metrics);
    record_.evaluation_seconds += absl::ToDoubleSeconds(clock_->Now() - began);
    return absl::OkStatus();
  }

  // A plan of an attempt before is obeyed.
  absl::Status Plan() {
    if (job_.choices.empty() && job_.groups.empty()) return absl::OkStatus();
    if (!record_.plan.has_value()) {
      reporter_.EnterPhase("plan");
      ASSIGN_OR_RETURN(record_.plan,
                       PlanKernels(spec_, job_, costs_, backend_.get(), reporter_.checker()));
      plan_is_unstored_ = true;
    }
    ObeyPlan(*record_.plan, &job_);
    return absl::OkStatus();
  }

  KernelPlan TrainingPlan() const { return record_.plan.value_or(KernelPlan()); }

  absl::StatusOr<std::unique_ptr<Evaluator>> NewEvaluator(ParameterStore* store) {
    return Evaluator::Create(job_.graph, store, backend_.get(), job_.data.evaluation, spec_.task);
  }

  // Of this attempt, which is not that of the ones before where this machine is another.
  void FindKey(const Program& program) {
    if (key_.has_value()) return;
    key_ = KeyOf(backend_->info(), program, TrainingPlan());
    if (attempt_.required_key.has_value() && !SameKey(*key_, *attempt_.required_key)) {
      record_.bit_exact = false;
    }
  }

  // Once.
  void AnnounceKey() {
    if (!std::exchange(key_announced_, true)) observer_->OnDeterminismKey(*key_);
  }

  // Of a job with two trainings the first, that of the dense comparison or of the selection of
  // features, learns from labels alone.
  absl::StatusOr<std::unique_ptr<TrainingLoop>> NewLoop(bool first_of_two, TaskSpec task,
                                                        std::unique_ptr<Method> method) {
    std::optional<RewindSpec> rewind;
    if (first_of_two) task.distillation.reset();
    if (!first_of_two && spec_.target.has_value()) rewind = spec_.target->rewind;
    return TrainingLoop::Create(job_.graph, backend_.get(), job_.data.train, task,
                                std::move(method), TrainingPlan().break_evens, rewind);
  }

  // A training, run to its end; the model it came to, which an accuracy bound may have taken from
  // an earlier step, measured.
  struct Trained {
    std::unique_ptr<TrainingLoop> loop;
    std::vector<PrunedWeight> pruned;
    std::vector<PrunedGroup> pruned_groups;
    MetricValues metrics;
  };
  absl::StatusOr<Trained> Train(bool first_of_two, const TaskSpec& task,
                                std::unique_ptr<Method> method) {
    Trained trained;
    CalibratedWeights calibrated;  // A checkpoint has them, and the support that goes with them.
    if (!first_of_two && !resume_.has_value() && Calibrates(spec_.method)) {
      ASSIGN_OR_RETURN(calibrated, Calibrate(method.get()));
    }
    ASSIGN_OR_RETURN(trained.loop, NewLoop(first_of_two, task, std::move(method)));
    trained.loop->StartFrom(std::exchange(calibrated, {}));
    TrainingLoop& loop = *trained.loop;
    // The first leaves them for the training after it.
    if (!first_of_two) RETURN_IF_ERROR(loop.store()->DropWeightsOf(&job_.graph));
    FindKey(loop.program());
    ASSIGN_OR_RETURN(const auto evaluator, NewEvaluator(loop.store()));
    if (resume_.has_value() && resume_->first_of_two == first_of_two) {
      RETURN_IF_ERROR(loop.Load(resume_->training));
      resume_.reset();
    }
    TrainingStage stage(StageOptions(first_of_two), &loop, evaluator.get(), &reporter_, observer_,
                        clock_, &record_);
    // Nobody is told of a key that depends on what was measured here before that is stored: an
    // attempt without it would measure anew.
    if (plan_is_unstored_) RETURN_IF_ERROR(stage.SaveCheckpoint());
    if (!plan_is_unstored_) AnnounceKey();
    absl::Status diverged = stage.Run();
    if (diverged.ok()) {
      loop.RefreshEffectiveWeights();
      diverged = loop.CheckWeightsAreFinite();
    }
    // A model that was kept for an accuracy bound is none the worse for what came after it.
    const bool another_is_kept = record_.kept.has_value() && absl::IsFailedPrecondition(diverged);
    if (!another_is_kept) RETURN_IF_ERROR(diverged);
    if (!first_of_two) AnnounceKey();
    if (!first_of_two && diverged.ok() && spec_.target.has_value()) {
      reporter_.EnterPhase("batch_norm");
      RETURN_IF_ERROR(
          loop.ReestimateBatchNorm(spec_.target->batch_norm_batches, reporter_.checker()));
    }
    reporter_.EnterPhase("evaluate");
    const absl::Time began = clock_->Now();
    if (diverged.ok()) {
      ASSIGN_OR_RETURN(trained.metrics, evaluator->Evaluate(reporter_.checker()));
    }
    record_.evaluation_seconds += absl::ToDoubleSeconds(clock_->Now() - began);
    trained.pruned = PrunedWeightsOf(loop.method());
    trained.pruned_groups = PrunedGroupsOf(loop.method());
    if (!first_of_two) RETURN_IF_ERROR(KeepBound(diverged, evaluator.get(), &trained));
    reporter_.set_metrics(trained.metrics);
    return trained;
  }

  // Gives `method` its support, and the weights that go with it back.
  absl::StatusOr<CalibratedWeights> Calibrate(Method* method) {
    reporter_.EnterPhase("calibrate");
    // Moments are sums of products, of which bfloat16 would leave too little.
    ASSIGN_OR_RETURN(const auto backend, backends_(spec_.threads, Precision::kFloat32));
    ASSIGN_OR_RETURN(Calibration found,
                     PruneByCalibration(spec_, job_, backend.get(), reporter_.checker()));
    RETURN_IF_ERROR(method->Load(SupportState(method->layers(), found.supports)));
    return std::move(found.weights);
  }

  // Where the model that training ended with does not meet the bound, the one kept takes its place.
  absl::Status KeepBound(const absl::Status& diverged, Evaluator* evaluator, Trained* trained) {
    const std::optional<AccuracyBound> bound = BoundOf(spec_, record_);
    if (!bound.has_value()) return absl::OkStatus();
    const Method& method = trained->loop->method();
    KeptModel last;
    last.step = trained->loop->next_step();
    last.sparsity = SparsityOf(method, job_.all_elements);
    last.metrics = trained->metrics;
    ASSIGN_OR_RETURN(
        bound_, KeepWithinBound(*bound, diverged, last, record_.kept, method,
                                trained->loop->store(), &trained->pruned, &trained->pruned_groups));
    if (!bound_->is_kept) return absl::OkStatus();
    warnings_.insert(warnings_.end(), bound_->warnings.begin(), bound_->warnings.end());
    ASSIGN_OR_RETURN(trained->metrics, evaluator->Evaluate(reporter_.checker()));
    return absl::OkStatus();
  }

  TrainingStage::Options StageOptions(bool first_of_two) {
    TrainingStage::Options options;
    options.method = std::string(MethodName(spec_.method));
    options.first_of_two = first_of_two;
    if (first_of_two) options.phase = job_.features.has_value() ? "selection" : "dense_comparison";
    if (!first_of_two) {  // Of the training before it.
      options.steps_before =
          spec_.outputs.train_dense_comparison ? job_.total_steps : job_.selection_steps;
    }
    options.plan_digest = key_->plan_digest;
    options.work_folder = attempt_.work_folder;
    options.all_elements = job_.all_elements;
    options.checkpoint_interval = options_.checkpoint_interval;
    if (auto bound = BoundOf(spec_, record_); bound.has_value() && !first_of_two) {
      options.bound.emplace(*bound);
      options.batch_norm_batches = spec_.target->batch_norm_batches;
      options.n_of_m = spec_.target->n_of_m;
    }
    options.keep_last_checkpoint =
        (spec_.outputs.keep_checkpoint || options.bound.has_value()) && !first_of_two;
    options.on_stored = [this] {
      plan_is_unstored_ = false;
      AnnounceKey();
    };
    return options;
  }

  // Of a job with two trainings the key is that of the first, wherever an attempt begins.
  absl::Status FindKeyOfFirst(const TaskSpec& task, std::unique_ptr<Method> method) {
    ASSIGN_OR_RETURN(const auto loop, NewLoop(/*first_of_two=*/true, task, std::move(method)));
    FindKey(loop->program());
    return absl::OkStatus();
  }

  // Trains it, unless an attempt before has.
  absl::Status SettleDenseComparison() {
    ASSIGN_OR_RETURN(auto method, NewMethodFor(spec_, job_, /*dense_comparison=*/true));
    if (record_.dense_metrics.has_value()) return FindKeyOfFirst(spec_.task, std::move(method));
    ASSIGN_OR_RETURN(const Trained trained,
                     Train(/*first_of_two=*/true, spec_.task, std::move(method)));
    record_.dense_metrics = trained.metrics;
    record_.BeginHistory();
    return absl::OkStatus();
  }

  // Chooses the features, unless an attempt before has, and puts a fresh network on them in the
  // place of the model given.
  absl::Status SettleFeatures() {
    if (!record_.selection.has_value()) {
      RETURN_IF_ERROR(ChooseFeatures());
    } else if (job_.selection_steps > 0) {
      ASSIGN_OR_RETURN(auto selector, NewSelector());
      RETURN_IF_ERROR(FindKeyOfFirst(SelectionTask(spec_), std::move(selector)));
    }
    return UseChosenFeatures();
  }

  absl::StatusOr<std::unique_ptr<FeatureSelector>> NewSelector() const {
    return NewSelectorFor(spec_, *job_.features, job_.selection_steps);
  }

  absl::Status ChooseFeatures() {
    SelectionRecord selection;
    if (job_.selection_steps > 0) {
      ASSIGN_OR_RETURN(std::unique_ptr<FeatureSelector> selector, NewSelector());
      const FeatureSelector& chooser = *selector;  // Lives as long as the loop.
      ASSIGN_OR_RETURN(const Trained trained,
                       Train(/*first_of_two=*/true, SelectionTask(spec_), std::move(selector)));
      selection.chosen = chooser.chosen();
      selection.metrics = trained.metrics;
      selection.history = record_.history;
    } else {
      reporter_.EnterPhase("selection");
      ASSIGN_OR_RETURN(selection.chosen,
                       SelectFor(spec_, *job_.features, job_.data, reporter_.checker()));
    }
    record_.selection = std::move(selection);
    record_.BeginHistory();
    return absl::OkStatus();
  }

  absl::Status UseChosenFeatures() {
    RETURN_IF_ERROR(NarrowToChosen(record_.selection->chosen, *job_.features, spec_.task.seed,
                                   &job_.graph, &warnings_));
    job_.all_elements = AllElementsOf(job_.graph, {});
    return absl::OkStatus();
  }

  absl::StatusOr<JobOutcome> TrainAndExport(ResultFiles* files) {
    ASSIGN_OR_RETURN(auto method, NewMethodFor(spec_, job_, /*dense_comparison=*/false));
    ASSIGN_OR_RETURN(Trained trained, Train(/*first_of_two=*/false, spec_.task, std::move(method)));
    reporter_.EnterPhase("export");
    const std::vector<PrunedWeight>& pruned = trained.pruned;
    pruned_groups_ = trained.pruned_groups;
    phases_ = trained.loop->method().plan().phases();
    ASSIGN_OR_RETURN(Graph model, FoldWeights(job_.graph, *trained.loop->store(), pruned));
    ZeroPrunedGroups(pruned_groups_, &model);
    trained.loop.reset();  // What comes needs its memory.
    if (!pruned_groups_.empty()) RETURN_IF_ERROR(Shrink(model));
    if (bound_.has_value() && !bound_->missed.empty()) {
      files->AddCheckpoint();
      job_.graph = model.Clone();
      return Finish(files, pruned, trained.metrics);
    }
    if (spec_.outputs.onnx) RETURN_IF_ERROR(files->AddOnnx(model));
    if (spec_.outputs.onnx && !pruned.empty()) RETURN_IF_ERROR(Shrink(model));
    if (spec_.outputs.onnx && shrunk_.has_value()) {
      RETURN_IF_ERROR(files->AddShrunkOnnx(shrunk_->graph));
    }
    if (spec_.outputs.block_sparse && !pruned.empty()) {
      RETURN_IF_ERROR(files->AddBlockSparse(model, pruned));
    }
    if (spec_.outputs.keep_checkpoint) files->AddCheckpoint();
    job_.graph = model.Clone();
    RETURN_IF_ERROR(MeasureLatencies(KeptBlocksOf(pruned)));
    return Finish(files, pruned, trained.metrics);
  }

  // The narrower model, where pruning left room for one and it computes the same: in float32, since
  // roundings to less would hide whether it does.
  absl::Status Shrink(const Graph& model) {
    ASSIGN_OR_RETURN(const auto backend, backends_(spec_.threads, Precision::kFloat32));
    ASSIGN_OR_RETURN(
        shrunk_, TryToShrink(spec_, job_, model, backend.get(), reporter_.checker(), &warnings_));
    return absl::OkStatus();
  }

  // What the job would do, with blocks drawn by chance in place of those that training chooses.
  absl::StatusOr<JobOutcome> DryRun(ResultFiles* files) {
    if (job_.features.has_value()) RETURN_IF_ERROR(ExpectFeatures());
    ASSIGN_OR_RETURN(auto method, NewMethodFor(spec_, job_, /*dense_comparison=*/false));
    phases_ = method->plan().phases();
    RETURN_IF_ERROR(EstimateTraining(/*first_of_two=*/false, spec_.task, std::move(method)));
    const std::vector<PrunedWeight> pruned = ExpectedSupports(spec_, job_);
    ZeroPrunedBlocks(pruned, &job_.graph);
    pruned_groups_ = ExpectedGroups(spec_, job_);
    if (!pruned_groups_.empty()) {
      RETURN_IF_ERROR(MoveFromZero(&job_.graph));
      ZeroPrunedGroups(pruned_groups_, &job_.graph);
      RETURN_IF_ERROR(Shrink(job_.graph));
    }
    RETURN_IF_ERROR(MeasureLatencies(KeptBlocksOf(pruned)));
    return Finish(files, pruned, {});
  }

  // Features drawn by chance in place of those that the job would choose.
  absl::Status ExpectFeatures() {
    if (job_.selection_steps > 0) {
      ASSIGN_OR_RETURN(auto selector, NewSelector());
      RETURN_IF_ERROR(
          EstimateTraining(/*first_of_two=*/true, SelectionTask(spec_), std::move(selector)));
    }
    SelectionRecord selection;
    ASSIGN_OR_RETURN(selection.chosen, DrawFor(spec_, *job_.features));
    record_.selection = std::move(selection);
    return UseChosenFeatures();
  }

  // Adds what this training takes, and a dense comparison like it, from some of the first steps,
  // which a store of its own forgets, as if the rest were as slow.
  absl::Status EstimateTraining(bool first_of_two, const TaskSpec& task,
                                std::unique_ptr<Method> method) {
    ASSIGN_OR_RETURN(const auto loop, NewLoop(first_of_two, task, std::move(method)));
    FindKey(loop->program());
    if (loop->total_steps() == 0) return absl::OkStatus();
    RETURN_IF_ERROR(reporter_.Check());
    const absl::StatusOr<absl::Duration> step = FastestStep(loop.get(), clock_);
    if (!step.ok()) {
      warnings_.push_back(absl::StrCat("no estimate of the time: ", step.status().message()));
      return absl::OkStatus();
    }
    const int trainings = spec_.outputs.train_dense_comparison ? 2 : 1;
    training_estimate_seconds_ =
        training_estimate_seconds_.value_or(0) +
        absl::ToDoubleSeconds(*step) * trainings * static_cast<double>(loop->total_steps());
    return absl::OkStatus();
  }

  // Of `job_.graph`, of whose pruned weights it has the blocks in `kept`.
  absl::Status MeasureLatencies(const SparseWeights& kept) {
    if (spec_.outputs.latency_batches.empty()) return absl::OkStatus();
    reporter_.EnterPhase("latency");
    ASSIGN_OR_RETURN(JobLatencies latencies,
                     topiary::MeasureLatencies(spec_, job_, kept,
                                               shrunk_.has_value() ? &shrunk_->graph : nullptr,
                                               costs_, backend_.get(), reporter_.checker()));
    latencies_ = std::move(latencies.measured);
    warnings_.insert(warnings_.end(), latencies.warnings.begin(), latencies.warnings.end());
    return absl::OkStatus();
  }

  // Report and outcome. `job_.graph` is the model that the job leaves behind.
  absl::StatusOr<JobOutcome> Finish(ResultFiles* files, const std::vector<PrunedWeight>& pruned,
                                    const MetricValues& trained_metrics) {
    if (predictions_.has_value()) RETURN_IF_ERROR(files->AddPredictions(*predictions_));
    ReportInput input;
    input.spec = &spec_;
    input.job = &job_;
    input.record = &record_;
    input.pruned = &pruned;
    input.pruned_groups = &pruned_groups_;
    input.trained_metrics = trained_metrics;
    input.phases = phases_;
    input.latency = latencies_;
    if (bound_.has_value()) input.accuracy_bound = bound_->report;
    if (shrunk_.has_value()) input.shrunk = &*shrunk_;
    input.warnings = warnings_;
    input.backend = backend_->info();
    input.plan_digest = key_->plan_digest;
    input.total_seconds = absl::ToDoubleSeconds(clock_->Now() - began_);
    input.training_estimate_seconds = training_estimate_seconds_;
    ASSIGN_OR_RETURN(JobOutcome outcome, WriteReport(input, files));
    if (bound_.has_value()) outcome.bound_missed = bound_->missed;
    return outcome;
  }

  const JobAttempt& attempt_;
  const JobSpec& spec_;
  const BackendFactory& backends_;
  JobObserver* const observer_;
  LayerCostSource* const costs_;
  Clock* const clock_;
  const PipelineOptions options_;
  JobReporter reporter_;
  const absl::Time began_;

  LoadedJob job_;
  std::unique_ptr<Backend> backend_;
  std::optional<Checkpoint> resume_;  // Until the training it belongs to takes it over.
  JobRecord record_;
  bool plan_is_unstored_ = false;  // Measured by this attempt, and in no checkpoint yet.
  std::optional<DeterminismKey> key_;
  bool key_announced_ = false;
  std::optional<Tensor> predictions_;
  std::vector<PrunedGroup> pruned_groups_;
  std::vector<Phase> phases_;
  std::optional<double> training_estimate_seconds_;  // Of a dry run.
  std::optional<BoundOutcome> bound_;
  std::vector<LatencyReport> latencies_;
  std::optional<ShrunkModel> shrunk_;
  std::vector<std::string> warnings_;
};

}  // namespace

PipelineRunner::PipelineRunner(BackendFactory backends, LayerCostSource* costs, Clock* clock,
                               const PipelineOptions& options)
    : backends_(std::move(backends)), costs_(costs), clock_(clock), options_(options) {}

absl::StatusOr<JobOutcome> PipelineRunner::Run(const JobAttempt& attempt, JobObserver* observer) {
  return JobRun(attempt, observer, backends_, costs_, clock_, options_).Run();
}

}  // namespace topiary
