#include "bench/growth.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/machine.h"
#include "bench/measure.h"
#include "bench/memory.h"
#include "bench/peer_steps.h"
#include "bench/plot.h"
#include "bench/train_stepper.h"
#include "common/file.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "worker/kernels/cpu/cpu_backend.h"
#include "worker/model/graph.h"

namespace topiary {
namespace {

constexpr int kSteps = 7;
constexpr double kMebibyte = 1 << 20;

class NetworkBuilder {
 public:
  explicit NetworkBuilder(int64_t width) : width_(width) {
    ValueInfo input;
    input.name = value_;
    input.has_shape = true;
    input.dims = {{-1, "batch"}, {width, ""}};
    graph_.inputs.push_back(std::move(input));
  }

  void Linear(const std::string& name, int64_t outputs) {
    Tensor weight(DType::kFloat32, Shape({outputs, width_}));
    Random random(1, kStreamInitialWeights | (graph_.initializers.size() << 32), 0);
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(width_)));
    for (float& w : weight.span<float>()) w = scale * random.Normal();
    graph_.initializers.push_back({name, std::move(weight), ""});
    Attribute transposed;
    transposed.name = "transB";
    transposed.value = int64_t{1};
    Add("Gemm", {value_, name}, {std::move(transposed)});
  }
  void Relu() { Add("Relu", {value_}, {}); }

  Graph Finish() {
    ValueInfo output;
    output.name = value_;
    graph_.outputs.push_back(std::move(output));
    return std::move(graph_);
  }

 private:
  void Add(const std::string& op_type, std::vector<std::string> inputs,
           std::vector<Attribute> attributes) {
    Node node;
    node.op_type = op_type;
    node.inputs = std::move(inputs);
    value_ = absl::StrCat("v", graph_.nodes.size());
    node.outputs = {value_};
    node.attributes = std::move(attributes);
    graph_.nodes.push_back(std::move(node));
  }

  const int64_t width_;
  Graph graph_;
  std::string value_ = "x";
};

Graph NetworkOf(const GrowthPoint& point) {
  NetworkBuilder network(point.width);
  for (int64_t i = 0; i < point.depth; ++i) {
    network.Linear(absl::StrCat("layer", i), point.width);
    network.Relu();
  }
  network.Linear("classes", 10);
  return network.Finish();
}

absl::StatusOr<GrowthCost> InAProcess(const GrowthPoint& point) {
  ASSIGN_OR_RETURN(
      const nlohmann::json answer,
      AnswerOf({"/proc/self/exe", "growth-point", "--batch", absl::StrCat(point.batch), "--width",
                absl::StrCat(point.width), "--depth", absl::StrCat(point.depth), "--block",
                absl::StrCat(point.block), "--threads", absl::StrCat(point.threads)}));
  return GrowthCost{answer.value("seconds", 0.0), answer.value("bytes", 0.0)};
}

// One panel, and its lines of the table.
class Axis {
 public:
  Axis(const std::string& title, const std::string& label) {
    panel_.title = title;
    panel_.x_label = label;
    panel_.series = {{"a step, ms", {}, {}}, {"peak memory, MiB", {}, {}}};
    table_ = absl::StrFormat("%s\n%12s %12s %12s\n", title, label, "ms", "MiB");
  }

  absl::Status Add(int64_t x, const GrowthPoint& point) {
    ASSIGN_OR_RETURN(const GrowthCost cost, InAProcess(point));
    const double values[] = {cost.seconds * 1e3, cost.bytes / kMebibyte};
    for (int i = 0; i < 2; ++i) {
      panel_.series[i].x.push_back(static_cast<double>(x));
      panel_.series[i].y.push_back(std::max(values[i], 1e-3));
    }
    absl::StrAppendFormat(&table_, "%12d %12.3f %12.1f\n", x, values[0], values[1]);
    return absl::OkStatus();
  }

  const PlotPanel& panel() const { return panel_; }
  const std::string& table() const { return table_; }

 private:
  PlotPanel panel_;
  std::string table_;
};

}  // namespace

absl::StatusOr<GrowthCost> MeasureGrowthPoint(const GrowthPoint& point) {
  CpuBackendOptions backend_options;
  backend_options.threads = point.threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  ASSIGN_OR_RETURN(const int64_t before, PeakResidentSize());
  TrainStepper::Options options;
  options.batch = point.batch;
  if (point.block > 0) {
    options.method = TrainStepper::Options::Method::kDensePhase;
    options.block = point.block;
    options.exclude_layers = {"classes"};
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<TrainStepper> stepper,
                   TrainStepper::Create(NetworkOf(point), backend.get(), options));
  stepper->FillBatch();
  stepper->Step();
  std::vector<double> seconds;
  for (int i = 0; i < kSteps; ++i) {
    seconds.push_back(SecondsPerStep(1, [&] { stepper->Step(); }));
  }
  ASSIGN_OR_RETURN(const int64_t after, PeakResidentSize());
  return GrowthCost{Median(seconds), static_cast<double>(after - before)};
}

absl::StatusOr<std::string> RunGrowth(int threads, const std::string& svg_path) {
  GrowthPoint usual;
  usual.threads = threads;
  Axis batch("4 layers of 512x512", "examples in a batch");
  for (const int64_t x : {16, 64, 256, 1024, 4096}) {
    GrowthPoint point = usual;
    point.batch = x;
    RETURN_IF_ERROR(batch.Add(x, point));
  }
  Axis width("4 layers, batch 256", "width of a layer");
  for (const int64_t x : {64, 256, 1024, 4096}) {
    GrowthPoint point = usual;
    point.width = x;
    RETURN_IF_ERROR(width.Add(x, point));
  }
  Axis depth("layers of 512x512, batch 256", "layers");
  for (const int64_t x : {1, 4, 16, 64}) {
    GrowthPoint point = usual;
    point.depth = x;
    RETURN_IF_ERROR(depth.Add(x, point));
  }
  Axis blocks("SequentialAttention++, a layer of 3200x3200", "blocks");
  for (const int64_t side : {320, 100, 32, 10, 4, 2, 1}) {
    GrowthPoint point = usual;
    point.batch = 64;
    point.width = 3200;
    point.depth = 1;
    point.block = side;
    RETURN_IF_ERROR(blocks.Add((3200 / side) * (3200 / side), point));
  }
  CpuBackendOptions backend_options;
  backend_options.threads = threads;
  ASSIGN_OR_RETURN(const auto backend, CpuBackend::Create(backend_options));
  std::string text = DescribeMachine(backend->info()) + "\n";
  std::vector<PlotPanel> panels;
  for (const Axis* axis : {&batch, &width, &depth, &blocks}) {
    text += axis->table();
    panels.push_back(axis->panel());
  }
  RETURN_IF_ERROR(WriteFileAtomically(svg_path, ToSvg(panels)));
  return text;
}

}  // namespace topiary
