// The parametrizations of PowerPropagation (Schwarz et al., "Powerpropagation: A sparsity inducing
// weight reparameterisation", NeurIPS 2021) and their gradients.
//
// Pure; thread-safe. Sums are taken in double, in the order of the runs of a partition.
#ifndef TOPIARY_WORKER_PRUNE_POWER_PARAMETRIZATION_H_
#define TOPIARY_WORKER_PRUNE_POWER_PARAMETRIZATION_H_

#include "absl/types/span.h"
#include "worker/prune/block_partition.h"
#include "worker/prune/support.h"

namespace topiary {

// With phi what is trained and theta the weights of the network, of one layer as it is stored:
//   kElement:  theta = phi |phi|^(exponent - 1)               (section 2 of the paper)
//   kBlock:    theta_b = ||phi_b||_F phi_b for each block     (arXiv 2402.17902; degree 2)
struct PowerParametrization {
  enum class Form { kElement, kBlock };
  Form form = Form::kElement;
  double exponent = 2;  // kElement; > 1.

  // theta; +0 in blocks that are not live.
  void Apply(const BlockPartition& partition, const Support& live, absl::Span<const float> phi,
             absl::Span<float> theta) const;

  // From d loss / d theta to d loss / d phi, in place:
  //   kElement:  exponent |phi|^(exponent - 1) g
  //   kBlock:    ||phi_b|| g_b + (<g_b, phi_b> / ||phi_b||) phi_b, 0 where phi_b is 0
  void ChainGradient(const BlockPartition& partition, absl::Span<const float> phi,
                     absl::Span<float> gradient) const;

  // From weights to the phi whose theta they are, but for rounding, in place:
  //   kElement:  sign(w) |w|^(1 / exponent)
  //   kBlock:    w_b / sqrt(||w_b||), 0 where w_b is 0
  void Invert(const BlockPartition& partition, absl::Span<float> weights) const;
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_PRUNE_POWER_PARAMETRIZATION_H_
