#include "bench/whole_model.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/peer_process.h"
#include "bench/peer_steps.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/export/block_sparse_file.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/inference_form.h"
#include "worker/model/layers.h"
#include "worker/model/onnx_export.h"
#include "worker/model/onnx_import.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/support.h"
#include "worker/runtime/model.h"

namespace topiary {
namespace {

constexpr int kWarmUps = 3;
constexpr int64_t kBlocksOfThePaper = 100;  // Of a layer that is pruned.
// Ids below it are rows of every table of the reference models.
constexpr uint64_t kIds = 1000;

const char* const kRuntimes[] = {"onnxruntime", "openvino", "torch", "torch-compile", "torch-bsr"};

// Keeps the blocks of largest norm, and zeroes the others in `graph`.
PrunedWeight KeepLargest(const std::shared_ptr<const BlockPartition>& partition, double sparsity,
                         Graph* graph) {
  const absl::Span<float> weight =
      graph->FindInitializer(partition->layer().weight)->value.span<float>();
  const std::vector<double> sums = partition->SumsOfSquares(weight);
  const std::vector<float> scores(sums.begin(), sums.end());
  PrunedWeight pruned{partition, SelectTopBlocks(scores, /*candidates=*/{},
                                                 KeptBlocks(sparsity, partition->block_count()))};
  partition->ZeroPruned(pruned.support, weight);
  return pruned;
}

// What is pruned of a model.
struct Pruning {
  int64_t block;
  int64_t min_blocks;  // Of a layer.
  double sparsity;
};

// Writes FILES.onnx and FILES.safetensors.
absl::Status WritePruned(const Graph& dense, const Pruning& pruning, const std::string& files) {
  ASSIGN_OR_RETURN(Graph graph, InferenceForm(dense));
  std::vector<PrunedWeight> pruned;
  const std::vector<PrunableLayer> layers = FindPrunableLayers(graph);
  for (const PrunableLayer& layer : layers) {
    ASSIGN_OR_RETURN(BlockPartition partition,
                     BlockPartition::Create(layer, {pruning.block, pruning.block}));
    const bool is_first = layer.kind == LayerKind::kConv && &layer == &layers.front();
    if (is_first || partition.block_count() < pruning.min_blocks) continue;
    pruned.push_back(KeepLargest(std::make_shared<const BlockPartition>(std::move(partition)),
                                 pruning.sparsity, &graph));
  }
  if (pruned.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no layer has ", pruning.min_blocks, " blocks of ", pruning.block, " x ", pruning.block));
  }
  RETURN_IF_ERROR(ExportOnnx(graph, files + ".onnx"));
  return WriteBlockSparseFile(graph, pruned, files + ".safetensors");
}

// Fills the inputs, the same for the same shapes, and writes them to FILES.inputs.
absl::Status MakeInputs(const Model& model, const std::string& files) {
  std::string bytes;
  Random random(3, kStreamSyntheticData, 0);
  for (const ModelTensor& input : model.inputs()) {
    if (input.type == ModelTensor::Type::kInt64) {
      auto* ids = static_cast<int64_t*>(input.data);
      std::generate_n(ids, input.bytes / sizeof(int64_t),
                      [&] { return static_cast<int64_t>(random.Below(kIds)); });
    } else {
      auto* values = static_cast<float*>(input.data);
      std::generate_n(values, input.bytes / sizeof(float), [&] { return random.Normal(); });
    }
    bytes.append(static_cast<const char*>(input.data), input.bytes);
  }
  return WriteFileAtomically(files + ".inputs", bytes);
}

// The peer's output is that of `model`, to a thousandth of its largest number.
absl::Status CompareOutputs(const Model& model, const std::string& files, const std::string& peer) {
  ASSIGN_OR_RETURN(const std::string theirs, ReadFile(files + ".output"));
  const ModelTensor& ours = model.outputs()[0];
  if (theirs.size() != ours.bytes) {
    return absl::FailedPreconditionError(
        absl::StrCat(peer, ": the output has ", theirs.size(), " bytes, ours ", ours.bytes));
  }
  std::vector<float> values(theirs.size() / sizeof(float));
  std::memcpy(values.data(), theirs.data(), theirs.size());
  const double difference = RelativeDifference(static_cast<const float*>(ours.data), values);
  if (difference <= 1e-3) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(peer, ": outputs differ by ", difference, " of the largest number"));
}

TimedSide TimedRuns(Model* model, double seconds) {
  return TimedCalls(kWarmUps, seconds, [model] { model->Run(); });
}

absl::StatusOr<std::unique_ptr<PeerProcess>> StartRuntime(const WholeModelOptions& options,
                                                          const std::string& runtime,
                                                          const std::string& model,
                                                          const Pruning& pruning,
                                                          const std::string& files) {
  ASSIGN_OR_RETURN(
      auto process,
      PeerProcess::Start({options.python, "-W", "ignore", options.runtime_script, runtime, model,
                          files, "--threads", absl::StrCat(options.threads), "--batch",
                          absl::StrCat(options.batch), "--block", absl::StrCat(pruning.block),
                          "--min-blocks", absl::StrCat(pruning.min_blocks)}));
  RETURN_IF_ERROR(ReadJson(process.get()).status());
  return process;
}

absl::Status RunPruned(const WholeModelOptions& options, const std::string& name,
                       const Graph& graph, const Pruning& pruning, const std::string& row,
                       BenchmarkRun* run) {
  const std::string files = absl::StrCat(options.work_dir, "/", name, "_", pruning.block);
  RETURN_IF_ERROR(WritePruned(graph, pruning, files));
  ModelOptions ours;
  ours.batch = options.batch;
  ours.threads = options.threads;
  ASSIGN_OR_RETURN(const auto pruned, Model::Load(files + ".safetensors", ours));
  RETURN_IF_ERROR(MakeInputs(*pruned, files));
  const TimedSide our_side = TimedRuns(pruned.get(), options.seconds_per_side);
  {
    ours.kernels = ModelOptions::Kernels::kDense;
    ASSIGN_OR_RETURN(const auto dense, Model::Load(files + ".safetensors", ours));
    RETURN_IF_ERROR(MakeInputs(*dense, files));
    ASSIGN_OR_RETURN(const Comparison c, Compare(options.pairs, our_side,
                                                 TimedRuns(dense.get(), options.seconds_per_side)));
    run->rows.push_back(RowOf(row + "dense", c));
  }
  for (const std::string runtime : kRuntimes) {
    const auto process = StartRuntime(options, runtime, name, pruning, files);
    if (!process.ok()) {
      std::fprintf(stderr, "bench: %s%s is left out: %s\n", row.c_str(), runtime.c_str(),
                   process.status().ToString().c_str());
      continue;
    }
    if (runtime[0] == 'o') RETURN_IF_ERROR(CompareOutputs(*pruned, files, runtime));
    PeerProcess* const peer = process->get();
    ASSIGN_OR_RETURN(const double seconds, PeerSeconds(peer, kWarmUps));
    const int steps =
        std::max(1, static_cast<int>(options.seconds_per_side / std::max(seconds, 1e-9)));
    ASSIGN_OR_RETURN(const Comparison c,
                     Compare(options.pairs, our_side, [&] { return PeerSeconds(peer, steps); }));
    run->rows.push_back(RowOf(row + runtime, c));
  }
  return absl::OkStatus();
}

bool HasConvolutions(const Graph& graph) {
  for (const PrunableLayer& layer : FindPrunableLayers(graph)) {
    if (layer.kind == LayerKind::kConv) return true;
  }
  return false;
}

absl::Status RunBlock(const WholeModelOptions& options, const std::string& name, const Graph& graph,
                      int64_t block, BenchmarkRun* run) {
  const std::string row = absl::StrCat(name, "/", block, "x", block, "/");
  const Pruning by_the_paper = {block, kBlocksOfThePaper, options.sparsity};
  if (!HasConvolutions(graph)) return RunPruned(options, name, graph, by_the_paper, row, run);
  RETURN_IF_ERROR(RunPruned(options, name, graph, {block, 1, options.sparsity}, row, run));
  return RunPruned(options, name, graph, by_the_paper,
                   absl::StrCat(row, kBlocksOfThePaper, "_blocks/"), run);
}

}  // namespace

absl::StatusOr<BenchmarkRun> RunWholeModel(const WholeModelOptions& options) {
  CpuBackendOptions backend_options;
  backend_options.threads = options.threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  BenchmarkRun run;
  run.benchmark = "whole-model";
  run.peer = absl::StrCat("dense, but torch-bsr; batch ", options.batch);
  run.machine = DescribeMachine(backend->info());
  ASSIGN_OR_RETURN(run.peak_gflops, PeakGflops(backend.get()));
  ASSIGN_OR_RETURN(run.peak_gbytes_per_s, PeakGbytesPerSecond(backend.get()));
  for (const std::string& model : options.models) {
    const std::string path = absl::StrCat(options.work_dir, "/", model, ".onnx");
    RETURN_IF_ERROR(
        RunCommand({options.python, "-W", "ignore", options.peer_script, "export", model, path}));
    ASSIGN_OR_RETURN(const Graph graph, ImportOnnx(path));
    for (const int64_t block : options.blocks) {
      RETURN_IF_ERROR(RunBlock(options, model, graph, block, &run));
    }
  }
  return run;
}

}  // namespace topiary
