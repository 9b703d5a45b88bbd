// Runs one benchmark: see tools/bench.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/block_sparse_layer.h"
#include "bench/rows.h"
#include "bench/training_step.h"
#include "bench/whole_model.h"
#include "common/file.h"

int main(int argc, char** argv) {
  topiary::TrainingStepOptions options;
  topiary::BlockSparseLayerOptions layer_options;
  topiary::WholeModelOptions model_options;
  std::string name, json;
  std::vector<std::string> models;
  CLI::App app("Benchmarks: ours beside a peer, in one run.");
  app.add_option("name", name, "of the benchmark")
      ->required()
      ->check(CLI::IsMember({"training-step", "block-sparse-layer", "whole-model"}));
  app.add_option("--json", json, "also write the rows to this file");
  app.add_option("--models", models,
                 "of the reference models; block-sparse-layer: matrix, convolution")
      ->delimiter(',');
  app.add_option("--batch", model_options.batch, "of whole-model")->check(CLI::Range(1, 65536));
  app.add_option("--pairs", options.pairs, "interleaved pairs")->check(CLI::Range(5, 1000));
  app.add_option("--threads", options.threads, "of both sides")->check(CLI::Range(1, 1024));
  app.add_option("--python", options.python, "with PyTorch");
  app.add_option("--peer-script", options.peer_script, "torch_peer.py");
  app.add_option("--work-dir", options.work_dir, "for models and batches");
  CLI11_PARSE(app, argc, argv);

  layer_options.pairs = options.pairs;
  layer_options.threads = options.threads;
  static_cast<topiary::PeerOptions&>(model_options) = options;
  if (!models.empty()) options.models = model_options.models = layer_options.kinds = models;
  const auto run = name == "training-step" ? topiary::RunTrainingStep(options)
                   : name == "whole-model" ? topiary::RunWholeModel(model_options)
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
