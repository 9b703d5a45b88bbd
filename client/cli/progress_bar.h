#ifndef TOPIARY_CLIENT_CLI_PROGRESS_BAR_H_
#define TOPIARY_CLIENT_CLI_PROGRESS_BAR_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace topiary {

// What is known about a running job; a negative number means "not known (yet)".
struct ProgressView {
  std::string phase;
  int64_t step = -1;
  int64_t total_steps = -1;
  double loss = -1;
  double accuracy = -1;  // Ratio.
  double sparsity = -1;  // Ratio.
  absl::Duration elapsed = absl::ZeroDuration();
  absl::Duration remaining = absl::InfiniteDuration();
};

// The three of them are pure, so that what a user sees is tested without a terminal.

// One line without newline, at most `width` columns:
//   sparse      [#########-----------]  46 %  1234/2680  loss 0.312  acc 91.2 %  sp 90.0 %  ETA
//   0:41
// The bar takes what is left of the width; parts on the right are dropped where it is narrow.
std::string RenderProgressBar(const ProgressView& view, int width);

// For logs and pipes, one line without newline and without a bar:
//   phase sparse step 1234/2680 loss 0.312 accuracy 0.912 sparsity 0.9 elapsed 0:35 remaining 0:41
std::string RenderProgressLine(const ProgressView& view);

// Bytes of a transfer: "[####------]  40 %  4.0 MiB/10.0 MiB  2.0 MiB/s".
std::string RenderTransferBar(int64_t done_bytes, int64_t total_bytes, absl::Duration elapsed,
                              int width);

// Time left, by the mean speed since `first_step`, at which `elapsed` began; infinite when it
// cannot be said.
absl::Duration EstimateRemaining(int64_t first_step, int64_t step, int64_t total_steps,
                                 absl::Duration elapsed);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_PROGRESS_BAR_H_
