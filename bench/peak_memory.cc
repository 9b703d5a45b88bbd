#include "bench/peak_memory.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/machine.h"
#include "bench/memory.h"
#include "bench/peer_process.h"
#include "bench/train_stepper.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/onnx_import.h"

namespace topiary {
namespace {

constexpr int kSteps = 4;
constexpr double kMebibyte = 1 << 20;

absl::Status RunModel(const PeakMemoryOptions& options, const std::string& model,
                      BenchmarkRun* run) {
  const std::string path = absl::StrCat(options.work_dir, "/", model, ".onnx");
  const std::vector<std::string> script = {options.python, "-W", "ignore", options.peer_script};
  std::vector<std::string> command = script;
  command.insert(command.end(), {"export", model, path});
  RETURN_IF_ERROR(RunCommand(command));
  command = script;
  command.insert(command.end(), {"step", model, "--threads", absl::StrCat(options.threads),
                                 "--reps", absl::StrCat(kSteps)});
  ASSIGN_OR_RETURN(const nlohmann::json theirs, AnswerOf(command));
  run->peer = theirs.value("peer", "");
  command = {"/proc/self/exe", "step-memory",
             "--models",       path,
             "--batch",        absl::StrCat(theirs.value("batch", 0)),
             "--threads",      absl::StrCat(options.threads)};
  if (theirs.value("loss_name", "") == "binary_cross_entropy") {
    command.emplace_back("--binary-cross-entropy");
  }
  ASSIGN_OR_RETURN(const nlohmann::json ours, AnswerOf(command));
  BenchmarkRow row;
  row.name = absl::StrCat("peak_memory/", model);
  row.ours = ours.value("bytes", 0.0) / kMebibyte;
  row.peer = theirs.value("peak_rss_over_start_mib", 0.0);
  row.ratio = row.peer / row.ours;
  row.unit = "MiB";
  run->rows.push_back(std::move(row));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchmarkRun> RunPeakMemory(const PeakMemoryOptions& options) {
  CpuBackendOptions backend_options;
  backend_options.threads = options.threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  BenchmarkRun run;
  run.benchmark = "peak-memory";
  run.machine = DescribeMachine(backend->info());
  for (const std::string& model : options.models) {
    RETURN_IF_ERROR(RunModel(options, model, &run));
  }
  return run;
}

absl::StatusOr<int64_t> StepMemory(const std::string& path, int64_t batch, LossKind loss,
                                   int threads) {
  CpuBackendOptions backend_options;
  backend_options.threads = threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  ASSIGN_OR_RETURN(const int64_t before, PeakResidentSize());
  TrainStepper::Options options;
  options.batch = batch;
  options.loss = loss;
  ASSIGN_OR_RETURN(Graph graph, ImportOnnx(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<TrainStepper> stepper,
                   TrainStepper::Create(std::move(graph), backend.get(), options));
  stepper->FillBatch();
  for (int i = 0; i < kSteps; ++i) stepper->Step();
  ASSIGN_OR_RETURN(const int64_t after, PeakResidentSize());
  return after - before;
}

}  // namespace topiary
