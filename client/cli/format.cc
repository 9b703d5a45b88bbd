#include "client/cli/format.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace topiary {

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 1023.95 would print as "1024.0".
  while (value >= 1023.95 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatElapsed(absl::Duration duration) {
  if (duration < absl::ZeroDuration() || duration == absl::InfiniteDuration()) return "-";
  const int64_t seconds = absl::ToInt64Seconds(duration);
  const int64_t days = seconds / 86400;
  const int64_t hours = seconds / 3600 % 24;
  const int64_t minutes = seconds / 60 % 60;
  std::string text = days > 0 ? absl::StrCat(days, "d ") : "";
  if (days > 0 || hours > 0) {
    absl::StrAppendFormat(&text, "%d:%02d:%02d", hours, minutes, seconds % 60);
  } else {
    absl::StrAppendFormat(&text, "%d:%02d", minutes, seconds % 60);
  }
  return text;
}

std::string FormatPercent(double ratio) {
  return std::isfinite(ratio) ? absl::StrFormat("%.2f %%", 100 * ratio) : "-";
}

std::string FormatNumber(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.6g", value) : "-";
}

std::string FormatCount(int64_t count) {
  std::string digits = absl::StrCat(count);
  const size_t first = count < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  for (unsigned char byte : text) width += (byte & 0xC0) != 0x80 ? 1 : 0;
  return width;
}

std::string Printable(absl::string_view text, bool keep_newlines) {
  std::string safe(text);
  for (char& character : safe) {
    const unsigned char byte = static_cast<unsigned char>(character);
    if ((byte < 0x20 || byte == 0x7F) && !(keep_newlines && byte == '\n')) character = '?';
  }
  return safe;
}

}  // namespace topiary
