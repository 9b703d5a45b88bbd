#include "bench/training_step.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/peer_process.h"
#include "bench/peer_steps.h"
#include "bench/train_stepper.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/onnx_import.h"

namespace topiary {
namespace {

constexpr int kWarmUps = 3;

// PyTorch on one model.
struct Peer {
  std::unique_ptr<PeerProcess> process;
  std::string name;
  int64_t batch = 0;
  double first_loss = 0;
  LossKind loss = LossKind::kSoftmaxCrossEntropy;
  double seconds = 0;  // Of a step, when it was started.
  int steps = 1;       // Of one side of a pair.
};

absl::StatusOr<Peer> StartPeer(const TrainingStepOptions& options, const std::string& model,
                               const std::string& files, bool compiled) {
  Peer peer;
  std::vector<std::string> command = {
      options.python, "-W",  "ignore",    options.peer_script,
      "serve",        model, "--threads", absl::StrCat(options.threads),
      "--batch-file", files};
  if (compiled) command.emplace_back("--compile");
  ASSIGN_OR_RETURN(peer.process, PeerProcess::Start(command));
  ASSIGN_OR_RETURN(const nlohmann::json ready, ReadJson(peer.process.get()));
  peer.name = ready.value("peer", "");
  peer.batch = ready.value("batch", 0);
  peer.first_loss = ready.value("loss", 0.0);
  if (ready.value("loss_name", "") == "binary_cross_entropy") {
    peer.loss = LossKind::kBinaryCrossEntropy;
  }
  RETURN_IF_ERROR(PeerSeconds(peer.process.get(), kWarmUps).status());
  ASSIGN_OR_RETURN(peer.seconds, PeerSeconds(peer.process.get(), kWarmUps));
  peer.steps =
      std::max(1, static_cast<int>(options.seconds_per_side / std::max(peer.seconds, 1e-9)));
  return peer;
}

// PyTorch as it is faster: eager or compiled.
absl::StatusOr<Peer> StartFasterPeer(const TrainingStepOptions& options, const std::string& model,
                                     const std::string& files) {
  ASSIGN_OR_RETURN(Peer eager, StartPeer(options, model, files, /*compiled=*/false));
  absl::StatusOr<Peer> compiled = StartPeer(options, model, files, /*compiled=*/true);
  if (!compiled.ok()) {
    std::fprintf(stderr, "bench: %s: eager only, torch.compile failed: %s\n", model.c_str(),
                 compiled.status().ToString().c_str());
    return eager;
  }
  return compiled->seconds < eager.seconds ? *std::move(compiled) : std::move(eager);
}

absl::StatusOr<std::unique_ptr<TrainStepper>> StartOurs(const Graph& graph, Backend* backend,
                                                        const Peer& peer,
                                                        TrainStepper::Options::Method method,
                                                        const std::string& files) {
  TrainStepper::Options options;
  options.batch = peer.batch;
  options.method = method;
  options.loss = peer.loss;
  ASSIGN_OR_RETURN(auto stepper, TrainStepper::Create(graph.Clone(), backend, options));
  ASSIGN_OR_RETURN(const std::string inputs, ReadFile(absl::StrCat(files, ".inputs")));
  ASSIGN_OR_RETURN(const std::string labels, ReadFile(absl::StrCat(files, ".labels")));
  RETURN_IF_ERROR(stepper->SetBatch(inputs, labels));
  stepper->Step();
  return stepper;
}

TimedSide TimedSteps(TrainStepper* stepper, double seconds) {
  return TimedCalls(kWarmUps - 1, seconds, [stepper] { stepper->Step(); });  // It took one already.
}

// Null where this processor has no bfloat16.
absl::StatusOr<std::unique_ptr<CpuBackend>> Bfloat16Backend(int threads) {
  CpuBackendOptions options;
  options.threads = threads;
  options.precision = Precision::kBfloat16;
  absl::StatusOr<std::unique_ptr<CpuBackend>> backend = CpuBackend::Create(options);
  if (absl::IsFailedPrecondition(backend.status())) return nullptr;
  return backend;
}

absl::Status RunModel(const TrainingStepOptions& options, const std::string& model,
                      Backend* backend, Backend* bfloat16, BenchmarkRun* run) {
  using Method = TrainStepper::Options::Method;
  const std::string files = absl::StrCat(options.work_dir, "/", model);
  const std::string path = absl::StrCat(files, ".onnx");
  RETURN_IF_ERROR(
      RunCommand({options.python, "-W", "ignore", options.peer_script, "export", model, path}));
  ASSIGN_OR_RETURN(const Graph graph, ImportOnnx(path));
  ASSIGN_OR_RETURN(Peer peer, StartFasterPeer(options, model, files));
  absl::StrAppend(&run->peer, run->peer.empty() ? "" : "; ", model, ": ", peer.name);
  ASSIGN_OR_RETURN(const auto dense, StartOurs(graph, backend, peer, Method::kNone, files));
  if (!(std::fabs(dense->loss() - peer.first_loss) <= 1e-3 * std::fabs(peer.first_loss))) {
    return absl::FailedPreconditionError(absl::StrCat(model, ": the first losses differ: ours ",
                                                      dense->loss(), ", theirs ", peer.first_loss));
  }
  const TimedSide ours = TimedSteps(dense.get(), options.seconds_per_side);
  const TimedSide theirs = [&] { return PeerSeconds(peer.process.get(), peer.steps); };
  ASSIGN_OR_RETURN(const Comparison step, Compare(options.pairs, ours, theirs));
  run->rows.push_back(RowOf(absl::StrCat(model, "/f32"), step));

  if (bfloat16 != nullptr) {
    ASSIGN_OR_RETURN(const auto rounded, StartOurs(graph, bfloat16, peer, Method::kNone, files));
    ASSIGN_OR_RETURN(
        const Comparison precision,
        Compare(options.pairs, TimedSteps(rounded.get(), options.seconds_per_side), ours));
    run->rows.push_back(RowOf(absl::StrCat(model, "/bf16"), precision));
  }
  for (const auto& [name, method] : {std::make_pair("sa_pp_overhead/", Method::kDensePhase),
                                     std::make_pair("sa_pp_sparse_phase/", Method::kSparsePhase)}) {
    const auto pruning = StartOurs(graph, backend, peer, method, files);
    // No layer of the small models has 100 blocks of 32x32.
    if (method == Method::kSparsePhase && absl::IsInvalidArgument(pruning.status())) {
      std::fprintf(stderr, "bench: %s: no sparse phase: %s\n", model.c_str(),
                   std::string(pruning.status().message()).c_str());
      continue;
    }
    RETURN_IF_ERROR(pruning.status());
    ASSIGN_OR_RETURN(const Comparison cost,
                     Compare(options.pairs, TimedSteps(pruning->get(), options.seconds_per_side),
                             TimedSteps(dense.get(), options.seconds_per_side)));
    run->rows.push_back(RowOf(absl::StrCat(name, model), cost));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchmarkRun> RunTrainingStep(const TrainingStepOptions& options) {
  CpuBackendOptions backend_options;
  backend_options.threads = options.threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  ASSIGN_OR_RETURN(const auto bfloat16, Bfloat16Backend(options.threads));
  BenchmarkRun run;
  run.benchmark = "training-step";
  run.machine = DescribeMachine(backend->info());
  ASSIGN_OR_RETURN(run.peak_gflops, PeakGflops(backend.get()));
  ASSIGN_OR_RETURN(run.peak_gbytes_per_s, PeakGbytesPerSecond(backend.get()));
  for (const std::string& model : options.models) {
    RETURN_IF_ERROR(RunModel(options, model, backend.get(), bfloat16.get(), &run));
  }
  return run;
}

}  // namespace topiary
