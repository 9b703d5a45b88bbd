#include "worker/features/mask_network.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr uint64_t kWeights = kStreamFeatures | (uint64_t{4} << 32);

float Leaky(float value) { return value > 0 ? value : MaskNetwork::kSlope * value; }

}  // namespace

MaskNetwork::MaskNetwork(int64_t inputs, int64_t outputs, uint64_t seed) {
  const int64_t widths[] = {inputs, kFirst, kSecond, outputs};
  for (int i = 0; i < 3; ++i) {
    const int64_t in = widths[i], out = widths[i + 1];
    const auto matrix = [in, out] { return Tensor(DType::kFloat32, Shape({out, in})); };
    const auto vector = [out] { return Tensor(DType::kFloat32, Shape({out})); };
    Layer layer{in, out, matrix(), vector(), matrix(), vector(), {}};
    Random random(seed, kWeights, static_cast<uint64_t>(i));
    const double bound = std::sqrt(6.0 / static_cast<double>(in + out));
    for (float& weight : layer.weight.span<float>()) {
      weight = static_cast<float>(bound * (2 * random.Uniform() - 1));
    }
    for (Tensor* zero : {&layer.bias, &layer.d_weight, &layer.d_bias}) {
      std::fill(zero->span<float>().begin(), zero->span<float>().end(), 0.0F);
    }
    layers_.push_back(std::move(layer));
  }
}

const std::vector<double>& MaskNetwork::Forward(absl::Span<const float> examples) {
  batch_ = static_cast<int64_t>(examples.size()) / layers_[0].inputs;
  const float* from = examples.data();
  for (size_t i = 0; i < 2; ++i) {
    Layer& layer = layers_[i];
    layer.result.resize(batch_ * layer.outputs);
    for (int64_t n = 0; n < batch_; ++n) {
      const float* const x = from + n * layer.inputs;
      for (int64_t out = 0; out < layer.outputs; ++out) {
        const float* const w = layer.weight.data<float>() + out * layer.inputs;
        // Eight sums, so that they need not wait for one another.
        float sums[8] = {};
        int64_t in = 0;
        for (; in + 8 <= layer.inputs; in += 8) {
          for (int lane = 0; lane < 8; ++lane) sums[lane] += w[in + lane] * x[in + lane];
        }
        float sum = layer.bias.data<float>()[out];
        for (const float lane : sums) sum += lane;
        for (; in < layer.inputs; ++in) sum += w[in] * x[in];
        layer.result[n * layer.outputs + out] = Leaky(sum);
      }
    }
    from = layer.result.data();
  }
  // The last layer is linear: of the mean it makes the mean.
  const Layer& last = layers_[2];
  mean_hidden_.assign(last.inputs, 0.0);
  for (int64_t n = 0; n < batch_; ++n) {
    for (int64_t in = 0; in < last.inputs; ++in) mean_hidden_[in] += from[n * last.inputs + in];
  }
  for (double& mean : mean_hidden_) mean /= static_cast<double>(batch_);
  outputs_.resize(last.outputs);
  for (int64_t out = 0; out < last.outputs; ++out) {
    double sum = last.bias.data<float>()[out];
    const float* const w = last.weight.data<float>() + out * last.inputs;
    for (int64_t in = 0; in < last.inputs; ++in) sum += w[in] * mean_hidden_[in];
    outputs_[out] = sum;
  }
  return outputs_;
}

void MaskNetwork::Backward(absl::Span<const double> outputs, absl::Span<const float> examples) {
  Layer& last = layers_[2];
  CHECK_EQ(static_cast<int64_t>(outputs.size()), last.outputs);
  std::vector<double> d_mean(last.inputs, 0.0);
  for (int64_t out = 0; out < last.outputs; ++out) {
    const float* const w = last.weight.data<float>() + out * last.inputs;
    float* const d = last.d_weight.data<float>() + out * last.inputs;
    last.d_bias.data<float>()[out] = static_cast<float>(outputs[out]);
    for (int64_t in = 0; in < last.inputs; ++in) {
      d[in] = static_cast<float>(outputs[out] * mean_hidden_[in]);
      d_mean[in] += outputs[out] * w[in];
    }
  }
  // Each example has the same part in the mean.
  std::vector<float> d_result(batch_ * last.inputs);
  for (int64_t n = 0; n < batch_; ++n) {
    for (int64_t in = 0; in < last.inputs; ++in) {
      d_result[n * last.inputs + in] = static_cast<float>(d_mean[in] / static_cast<double>(batch_));
    }
  }
  for (int i = 1; i >= 0; --i) {
    Layer& layer = layers_[i];
    const float* const from = i == 0 ? examples.data() : layers_[0].result.data();
    std::vector<float> d_from(i == 0 ? 0 : batch_ * layer.inputs, 0.0F);
    std::fill(layer.d_weight.span<float>().begin(), layer.d_weight.span<float>().end(), 0.0F);
    std::fill(layer.d_bias.span<float>().begin(), layer.d_bias.span<float>().end(), 0.0F);
    for (int64_t n = 0; n < batch_; ++n) {
      const float* const x = from + n * layer.inputs;
      for (int64_t out = 0; out < layer.outputs; ++out) {
        const int64_t at = n * layer.outputs + out;
        // The sign of the result is that of what LeakyReLU read.
        const float d = d_result[at] * (layer.result[at] > 0 ? 1.0F : kSlope);
        layer.d_bias.data<float>()[out] += d;
        float* const d_weight = layer.d_weight.data<float>() + out * layer.inputs;
        for (int64_t in = 0; in < layer.inputs; ++in) d_weight[in] += d * x[in];
        if (i == 0) continue;
        const float* const w = layer.weight.data<float>() + out * layer.inputs;
        float* const d_x = d_from.data() + n * layer.inputs;
        for (int64_t in = 0; in < layer.inputs; ++in) d_x[in] += d * w[in];
      }
    }
    d_result = std::move(d_from);
  }
}

std::string MaskNetwork::NameOf(const char* part, size_t layer) {
  return absl::StrCat("mask_network/", part, layer + 1);
}

std::vector<TrainableState> MaskNetwork::trainable_state(double learning_rate_multiplier) {
  std::vector<TrainableState> state;
  for (size_t i = 0; i < layers_.size(); ++i) {
    Layer& layer = layers_[i];
    state.push_back({NameOf("weight", i), layer.weight.element_count(), layer.weight.data<float>(),
                     layer.d_weight.data<float>(), learning_rate_multiplier, 0.0});
    state.push_back({NameOf("bias", i), layer.bias.element_count(), layer.bias.data<float>(),
                     layer.d_bias.data<float>(), learning_rate_multiplier, 0.0});
  }
  return state;
}

void MaskNetwork::Save(MethodState* state) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    state->emplace(NameOf("weight", i), layers_[i].weight.Clone());
    state->emplace(NameOf("bias", i), layers_[i].bias.Clone());
  }
}

absl::Status MaskNetwork::Load(const MethodState& state) {
  std::vector<const Tensor*> loaded;
  for (size_t i = 0; i < layers_.size(); ++i) {
    ASSIGN_OR_RETURN(const Tensor* weight, FindState(state, NameOf("weight", i), DType::kFloat32,
                                                     layers_[i].weight.element_count()));
    ASSIGN_OR_RETURN(const Tensor* bias, FindState(state, NameOf("bias", i), DType::kFloat32,
                                                   layers_[i].bias.element_count()));
    loaded.push_back(weight);
    loaded.push_back(bias);
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    std::copy_n(loaded[2 * i]->data<float>(), loaded[2 * i]->element_count(),
                layers_[i].weight.data<float>());
    std::copy_n(loaded[2 * i + 1]->data<float>(), loaded[2 * i + 1]->element_count(),
                layers_[i].bias.data<float>());
  }
  return absl::OkStatus();
}

}  // namespace topiary
