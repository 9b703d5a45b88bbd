#include "client/cli/progress_bar.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/format.h"

namespace topiary {
namespace {

constexpr int kMinBar = 5;
constexpr int kMaxBar = 40;

double Fraction(int64_t done, int64_t total) {
  if (total <= 0 || done < 0) return 0;
  return std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
}

std::string Bar(double fraction, int columns) {
  const int full = static_cast<int>(fraction * columns);
  return absl::StrCat("[", std::string(full, '#'), std::string(columns - full, '-'), "]");
}

// `head`, a bar, and as many of `parts` (in order of importance) as fit.
std::string Assemble(const std::string& head, double fraction,
                     const std::vector<std::string>& parts, int width) {
  const std::string percent = absl::StrFormat(" %3d %%", static_cast<int>(100 * fraction));
  int left = width - DisplayWidth(head) - (kMinBar + 2) - DisplayWidth(percent);
  std::string tail;
  for (const std::string& part : parts) {
    const int cost = DisplayWidth(part) + 2;
    if (cost > left) break;
    left -= cost;
    absl::StrAppend(&tail, "  ", part);
  }
  const int bar = std::min(kMaxBar, kMinBar + std::max(0, left));
  std::string line = absl::StrCat(head, Bar(fraction, bar), percent, tail);
  return DisplayWidth(line) <= width ? line : line.substr(0, std::max(0, width));
}

std::string Steps(const ProgressView& view) {
  if (view.total_steps <= 0) return absl::StrCat(view.step);
  return absl::StrCat(view.step, "/", view.total_steps);
}

}  // namespace

std::string RenderProgressBar(const ProgressView& view, int width) {
  std::vector<std::string> parts;
  if (view.step >= 0) parts.push_back(Steps(view));
  if (view.loss >= 0) parts.push_back(absl::StrFormat("loss %.3f", view.loss));
  if (view.accuracy >= 0) parts.push_back(absl::StrFormat("acc %.1f %%", 100 * view.accuracy));
  if (view.sparsity >= 0) parts.push_back(absl::StrFormat("sp %.1f %%", 100 * view.sparsity));
  if (view.remaining != absl::InfiniteDuration()) {
    parts.push_back(absl::StrCat("ETA ", FormatElapsed(view.remaining)));
  }
  const std::string head = absl::StrFormat("%-11s ", Printable(view.phase));
  return Assemble(head, Fraction(view.step, view.total_steps), parts, width);
}

std::string RenderProgressLine(const ProgressView& view) {
  std::string line = absl::StrCat("phase ", view.phase.empty() ? "-" : Printable(view.phase));
  if (view.step >= 0) absl::StrAppend(&line, " step ", Steps(view));
  if (view.loss >= 0) absl::StrAppend(&line, " loss ", FormatNumber(view.loss));
  if (view.accuracy >= 0) absl::StrAppend(&line, " accuracy ", FormatNumber(view.accuracy));
  if (view.sparsity >= 0) absl::StrAppend(&line, " sparsity ", FormatNumber(view.sparsity));
  absl::StrAppend(&line, " elapsed ", FormatElapsed(view.elapsed));
  if (view.remaining != absl::InfiniteDuration()) {
    absl::StrAppend(&line, " remaining ", FormatElapsed(view.remaining));
  }
  return line;
}

std::string RenderTransferBar(int64_t done_bytes, int64_t total_bytes, absl::Duration elapsed,
                              int width) {
  std::vector<std::string> parts = {
      absl::StrCat(FormatBytes(done_bytes), "/", FormatBytes(total_bytes))};
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (seconds > 0) {
    parts.push_back(absl::StrCat(FormatBytes(static_cast<int64_t>(done_bytes / seconds)), "/s"));
  }
  const double fraction = total_bytes == 0 ? 1.0 : Fraction(done_bytes, total_bytes);
  return Assemble("", fraction, parts, width);
}

absl::Duration EstimateRemaining(int64_t first_step, int64_t step, int64_t total_steps,
                                 absl::Duration elapsed) {
  if (total_steps <= 0 || step <= first_step || elapsed <= absl::ZeroDuration()) {
    return absl::InfiniteDuration();
  }
  return elapsed * (static_cast<double>(std::max<int64_t>(0, total_steps - step)) /
                    static_cast<double>(step - first_step));
}

}  // namespace topiary
