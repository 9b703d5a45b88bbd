#include "worker/prune/glob.h"

#include "common/status_macros.h"

namespace topiary {
namespace {

// About a millisecond.
constexpr int64_t kStepsPerCheck = 1'000'000;

}  // namespace

bool GlobMatches(absl::string_view pattern, absl::string_view text) {
  size_t p = 0;
  size_t t = 0;
  // Where to go on when a match fails: after the last star, one character of text later. An earlier
  // star need never be tried again.
  size_t star = absl::string_view::npos;
  size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos) {
      p = star;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

absl::StatusOr<bool> LayerMatcher::Matches(absl::string_view pattern, absl::string_view weight,
                                           absl::string_view node) {
  steps_ += static_cast<int64_t>((pattern.size() + 1) * (weight.size() + node.size() + 1));
  if (steps_ >= kStepsPerCheck) {
    steps_ = 0;
    RETURN_IF_ERROR(check_());
  }
  return GlobMatches(pattern, weight) || (!node.empty() && GlobMatches(pattern, node));
}

}  // namespace topiary
