// Runs one benchmark: see tools/bench.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/block_sparse_layer.h"
#include "bench/growth.h"
#include "bench/peak_memory.h"
#include "bench/rows.h"
#include "bench/training_step.h"
#include "bench/whole_model.h"
#include "common/file.h"
#include "common/large_memory.h"

namespace {

// For the process of its own that peak-memory measures.
int PrintStepMemory(const std::string& path, int64_t batch, bool binary_cross_entropy,
                    int threads) {
  const auto loss = binary_cross_entropy ? topiary::LossKind::kBinaryCrossEntropy
                                         : topiary::LossKind::kSoftmaxCrossEntropy;
  const absl::StatusOr<int64_t> bytes = topiary::StepMemory(path, batch, loss, threads);
  if (!bytes.ok()) {
    std::fprintf(stderr, "bench: %s\n", bytes.status().ToString().c_str());
    return 1;
  }
  std::printf("{\"bytes\": %lld}\n", static_cast<long long>(*bytes));
  return 0;
}

// For the processes of their own that growth measures.
int PrintGrowthPoint(const topiary::GrowthPoint& point) {
  const absl::StatusOr<topiary::GrowthCost> cost = topiary::MeasureGrowthPoint(point);
  if (!cost.ok()) {
    std::fprintf(stderr, "bench: %s\n", cost.status().ToString().c_str());
    return 1;
  }
  std::printf("{\"seconds\": %.9f, \"bytes\": %.0f}\n", cost->seconds, cost->bytes);
  return 0;
}

int PrintGrowth(int threads, const std::string& svg) {
  const absl::StatusOr<std::string> table = topiary::RunGrowth(threads, svg);
  if (!table.ok()) {
    std::fprintf(stderr, "bench: %s\n", table.status().ToString().c_str());
    return 1;
  }
  std::fputs(table->c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  topiary::ReturnLargeMemory();
  topiary::TrainingStepOptions options;
  topiary::BlockSparseLayerOptions layer_options;
  topiary::WholeModelOptions model_options;
  topiary::PeakMemoryOptions memory_options;
  bool binary_cross_entropy = false;
  std::string name, json;
  std::vector<std::string> models;
  CLI::App app("Benchmarks: ours beside a peer, in one run.");
  app.add_option("name", name, "of the benchmark")
      ->required()
      ->check(CLI::IsMember({"training-step", "block-sparse-layer", "whole-model", "peak-memory",
                             "growth", "step-memory", "growth-point"}));
  app.add_option("--json", json, "also write the rows to this file");
  app.add_option("--models", models,
                 "of the reference models; block-sparse-layer: matrix, convolution")
      ->delimiter(',');
  app.add_option("--batch", model_options.batch, "of whole-model, step-memory and growth-point")
      ->check(CLI::Range(1, 65536));
  topiary::GrowthPoint point;
  std::string svg = "out/bench/growth.svg";
  app.add_option("--svg", svg, "of growth: where the plots go");
  app.add_option("--width", point.width, "of growth-point")->check(CLI::Range(1, 1 << 16));
  app.add_option("--depth", point.depth, "of growth-point")->check(CLI::Range(1, 1 << 10));
  app.add_option("--block", point.block, "of growth-point")->check(CLI::Range(0, 1 << 16));
  app.add_flag("--binary-cross-entropy", binary_cross_entropy, "of step-memory");
  app.add_option("--pairs", options.pairs, "interleaved pairs")->check(CLI::Range(5, 1000));
  app.add_option("--threads", options.threads, "of both sides")->check(CLI::Range(1, 1024));
  app.add_option("--python", options.python, "with PyTorch");
  app.add_option("--peer-script", options.peer_script, "torch_peer.py");
  app.add_option("--work-dir", options.work_dir, "for models and batches");
  CLI11_PARSE(app, argc, argv);

  layer_options.pairs = options.pairs;
  layer_options.threads = options.threads;
  if (name == "step-memory") {
    return PrintStepMemory(models.empty() ? "" : models[0], model_options.batch,
                           binary_cross_entropy, options.threads);
  }
  if (name == "growth") return PrintGrowth(options.threads, svg);
  if (name == "growth-point") {
    point.batch = model_options.batch;
    point.threads = options.threads;
    return PrintGrowthPoint(point);
  }
  static_cast<topiary::PeerOptions&>(model_options) = options;
  static_cast<topiary::PeerOptions&>(memory_options) = options;
  if (!models.empty()) {
    options.models = model_options.models = layer_options.kinds = memory_options.models = models;
  }
  const auto run = name == "training-step" ? topiary::RunTrainingStep(options)
                   : name == "whole-model" ? topiary::RunWholeModel(model_options)
                   : name == "peak-memory" ? topiary::RunPeakMemory(memory_options)
                                           : topiary::RunBlockSparseLayer(layer_options);
  if (!run.ok()) {
    std::fprintf(stderr, "bench: %s\n", run.status().ToString().c_str());
    return 1;
  }
  std::fputs(topiary::ToTable(*run).c_str(), stdout);
  if (json.empty()) return 0;
  const absl::Status written = topiary::WriteFileAtomically(json, topiary::ToJson(*run));
  if (!written.ok()) {
    std::fprintf(stderr, "bench: %s\n", written.ToString().c_str());
    return 1;
  }
  return 0;
}
