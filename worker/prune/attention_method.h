// What methods that train an attention over the blocks of each layer have in common: the logits,
// the scales that they give, and their gradients.
#ifndef TOPIARY_WORKER_PRUNE_ATTENTION_METHOD_H_
#define TOPIARY_WORKER_PRUNE_ATTENTION_METHOD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/prune/attention.h"
#include "worker/prune/method.h"
#include "worker/prune/phased_method.h"
#include "worker/prune/phases.h"
#include "worker/tensor/tensor.h"

namespace topiary {

struct AttentionOptions {
  // Learning rate of the logits over that of the weights; >= 0.
  double logits_learning_rate_multiplier = 10;
  // Absent: the weights'. >= 0.
  std::optional<double> logits_weight_decay;
  // Clamp the attention to [d, 1 / d], d = 1 - target sparsity.
  bool clip_attention = true;
  // Which blocks share the attention: those of a layer, as in the paper, or all, so that layers
  // compete for it too.
  enum class Softmax { kLayer, kGlobal };
  Softmax softmax = Softmax::kLayer;
};

// INVALID_ARGUMENT, naming the field of `message`, where the decay is out of range, or the rate
// above 10,000.
absl::Status CheckAttentionOptions(const AttentionOptions& options, absl::string_view message);

// One logit per block, starting at 0, named "logits/<weight>" as trainable state; scale of a block
// = live * clip(N softmax(logits)) (attention.h), N being the blocks that share the softmax.
//
// A subclass says what blocks are ranked by, and the curve of the sparsity.
class AttentionMethod : public PhasedMethod {
 public:
  AttentionMethod(const AttentionOptions& options, const PhasedOptions& phased, PhasePlan plan,
                  std::vector<MethodLayer> layers);

  bool wants_inner_products() const override { return true; }
  void RefreshScales() override;
  void EndStep(absl::Span<const absl::Span<const float>> inner_products) override;
  std::vector<TrainableState> trainable_state() override;
  MethodState Save() const override;
  absl::Status Load(const MethodState& state) override;

 protected:
  // Of the last RefreshScales(), before the clip.
  absl::Span<const double> attention(size_t index) const {
    return PartOf<const double>(softmax_of(index).attention, index);
  }
  absl::Span<const float> logits(size_t index) const {
    return PartOf<const float>(softmax_of(index).logits, index);
  }
  size_t softmax_count() const { return softmaxes_.size(); }

 private:
  // One entry per block of the layers that share it, layer by layer.
  struct Softmax {
    std::vector<float> logits;
    std::vector<float> logit_gradients;
    std::vector<double> attention;
    std::vector<double> attention_gradients;
  };
  // Where the blocks of a layer are.
  struct Part {
    size_t softmax = 0;
    size_t begin = 0;
    AttentionClip clip;
  };

  Softmax& softmax_of(size_t index) { return softmaxes_[parts_[index].softmax]; }
  const Softmax& softmax_of(size_t index) const { return softmaxes_[parts_[index].softmax]; }
  // What is of layer `index` in numbers of its softmax.
  template <typename T, typename Numbers>
  absl::Span<T> PartOf(Numbers& numbers, size_t index) const {
    return absl::MakeSpan(numbers).subspan(parts_[index].begin, layers()[index].block_count());
  }

  const AttentionOptions attention_options_;
  std::vector<Softmax> softmaxes_;
  std::vector<Part> parts_;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_ATTENTION_METHOD_H_
