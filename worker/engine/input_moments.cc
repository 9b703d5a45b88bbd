#include "worker/engine/input_moments.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "worker/engine/layer_samples.h"

namespace topiary {
namespace {

// Samples that are multiplied together: what is summed in float32 before it is added in double.
constexpr int64_t kMostSamples = 1024;
constexpr int64_t kMostSampleBytes = int64_t{16} << 20;

// Sums what it is given for each matrix.
class Sums {
 public:
  virtual ~Sums() = default;
  virtual void Add(int64_t group, absl::Span<const float> sample) = 0;
  virtual std::vector<double> Mean(int64_t group) = 0;
};

class DiagonalSums final : public Sums {
 public:
  DiagonalSums(int64_t groups, int64_t inputs)
      : sums_(groups, std::vector<double>(inputs, 0)), counts_(groups, 0) {}

  void Add(int64_t group, absl::Span<const float> sample) override {
    double* const sums = sums_[group].data();
    for (size_t k = 0; k < sample.size(); ++k) sums[k] += double{sample[k]} * sample[k];
    ++counts_[group];
  }

  std::vector<double> Mean(int64_t group) override {
    std::vector<double> mean = sums_[group];
    for (double& value : mean) value /= static_cast<double>(counts_[group]);
    return mean;
  }

 private:
  std::vector<std::vector<double>> sums_;
  std::vector<int64_t> counts_;
};

// Gathers samples, of each matrix by themselves, and has the backend multiply them with themselves.
class FullSums final : public Sums {
 public:
  static absl::StatusOr<std::unique_ptr<FullSums>> Create(int64_t groups, int64_t inputs,
                                                          Backend* backend) {
    auto sums = std::unique_ptr<FullSums>(new FullSums(groups, inputs));
    RETURN_IF_ERROR(sums->PlanProduct(backend));
    return sums;
  }

  void Add(int64_t group, absl::Span<const float> sample) override {
    std::vector<float>& waiting = waiting_[group];
    waiting.insert(waiting.end(), sample.begin(), sample.end());
    ++counts_[group];
    if (static_cast<int64_t>(waiting.size()) == at_once_ * inputs_) Multiply(group);
  }

  // Symmetric whatever the order in which the backend has added up.
  std::vector<double> Mean(int64_t group) override {
    Multiply(group);
    const std::vector<double>& sums = sums_[group];
    std::vector<double> mean(sums.size());
    for (int64_t i = 0; i < inputs_; ++i) {
      for (int64_t j = 0; j <= i; ++j) {
        const double value = (sums[i * inputs_ + j] + sums[j * inputs_ + i]) / 2 /
                             static_cast<double>(counts_[group]);
        mean[i * inputs_ + j] = mean[j * inputs_ + i] = value;
      }
    }
    return mean;
  }

 private:
  FullSums(int64_t groups, int64_t inputs)
      : inputs_(inputs),
        at_once_(SamplesAtOnce(inputs)),
        waiting_(groups),
        sums_(groups, std::vector<double>(inputs * inputs, 0)),
        counts_(groups, 0) {}

  absl::Status PlanProduct(Backend* backend) {
    MatMulParameters parameters;
    parameters.transpose_a = true;
    const TensorDescription samples = {Shape({at_once_, inputs_}), DType::kFloat32,
                                       Layout::Plain()};
    const TensorDescription product = {Shape({inputs_, inputs_}), DType::kFloat32, Layout::Plain()};
    ASSIGN_OR_RETURN(kernel_,
                     backend->Plan({OpKind::kMatMul, parameters, {samples, samples, product}}));
    std::vector<void*> pointers;
    for (const TensorDescription& operand : kernel_->operands()) {
      ASSIGN_OR_RETURN(Buffer buffer, backend->Allocate(operand.bytes()));
      pointers.push_back(buffer.data());
      memory_.push_back(std::move(buffer));
    }
    ASSIGN_OR_RETURN(scratch_, backend->Allocate(kernel_->scratch_bytes()));
    kernel_->Bind(pointers, scratch_.data());
    return absl::OkStatus();
  }

  // A product costs the same however few its samples are: they wait for others, of later batches.
  void Multiply(int64_t group) {
    std::vector<float>& waiting = waiting_[group];
    if (waiting.empty()) return;
    waiting.resize(at_once_ * inputs_, 0.0F);
    for (const int operand : {0, 1}) {
      std::memcpy(memory_[operand].data(), waiting.data(), waiting.size() * sizeof(float));
    }
    kernel_->Run();
    const auto* const product = static_cast<const float*>(memory_[2].data());
    std::vector<double>& sums = sums_[group];
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += product[i];
    waiting.clear();
  }

  const int64_t inputs_;
  const int64_t at_once_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<Buffer> memory_;
  Buffer scratch_;
  std::vector<std::vector<float>> waiting_;  // Samples of each group that are yet to be multiplied.
  std::vector<std::vector<double>> sums_;
  std::vector<int64_t> counts_;
};

class LayerMoments final : public InputMoments {
 public:
  LayerMoments(std::vector<LayerSamples> samples, std::unique_ptr<Sums> sums, std::string kind)
      : samples_(std::move(samples)), sums_(std::move(sums)), key_(std::move(kind)) {
    for (const LayerSamples& of_node : samples_) {
      const std::string& activation = of_node.activation();
      const auto known = std::find(inputs_.begin(), inputs_.end(), activation);
      sources_.push_back(static_cast<size_t>(known - inputs_.begin()));
      if (known == inputs_.end()) inputs_.push_back(activation);
      absl::StrAppend(&key_, "; ", of_node.Key());
    }
  }

  const std::vector<std::string>& inputs() const override { return inputs_; }

  void Add(absl::Span<const float* const> activations) override {
    for (size_t i = 0; i < samples_.size(); ++i) {
      samples_[i].ForEach(
          activations[sources_[i]],
          [this](int64_t group, absl::Span<const float> sample) { sums_->Add(group, sample); });
    }
  }

  std::vector<double> Mean(int64_t group) override { return sums_->Mean(group); }
  const std::string& key() const override { return key_; }

 private:
  const std::vector<LayerSamples> samples_;
  const std::unique_ptr<Sums> sums_;
  std::string key_;
  std::vector<std::string> inputs_;
  std::vector<size_t> sources_;  // Of each of samples_, in inputs_.
};

}  // namespace

int64_t SamplesAtOnce(int64_t inputs) {
  return std::clamp<int64_t>(kMostSampleBytes / (inputs * int64_t{sizeof(float)}), 1, kMostSamples);
}

absl::StatusOr<std::unique_ptr<InputMoments>> InputMoments::Create(const Graph& graph,
                                                                   const InferredGraph& inferred,
                                                                   const PrunableLayer& layer,
                                                                   MomentKind kind,
                                                                   Backend* backend) {
  CHECK(backend->host_accessible()) << "samples are gathered by the host";
  std::vector<LayerSamples> samples;
  for (const int index : layer.nodes) {
    if (std::find(inferred.live_nodes.begin(), inferred.live_nodes.end(), index) ==
        inferred.live_nodes.end()) {
      continue;  // Nobody needs it.
    }
    ASSIGN_OR_RETURN(std::optional<LayerSamples> of_node,
                     LayerSamples::Of(graph, inferred, layer, index));
    if (of_node.has_value()) samples.push_back(*std::move(of_node));
  }
  if (samples.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight '", layer.weight,
                     "' is used transposed only: it cannot be calibrated; leave it out with "
                     "target.exclude_layers"));
  }
  std::unique_ptr<Sums> sums;
  if (kind == MomentKind::kFull) {
    ASSIGN_OR_RETURN(sums, FullSums::Create(layer.groups, layer.rows, backend));
  } else {
    sums = std::make_unique<DiagonalSums>(layer.groups, layer.rows);
  }
  return std::make_unique<LayerMoments>(std::move(samples), std::move(sums),
                                        kind == MomentKind::kFull ? "full" : "diagonal");
}

}  // namespace topiary
