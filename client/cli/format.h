#ifndef TOPIARY_CLIENT_CLI_FORMAT_H_
#define TOPIARY_CLIENT_CLI_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace topiary {

// Numbers as people read them. Pure; all may be called from any thread.

// "0 B", "999 B", "1.5 KiB", "12.0 MiB": powers of 1024, one decimal above bytes.
std::string FormatBytes(int64_t bytes);

// "0:07", "12:34", "1:02:03", "2d 3:04:05"; "-" for a negative or infinite duration.
std::string FormatElapsed(absl::Duration duration);

// 0.9134 -> "91.34 %". "-" when not a number.
std::string FormatPercent(double ratio);

// Six significant digits, "-" when not a number: 0.25, 1.5e-07.
std::string FormatNumber(double value);

// 12345678 -> "12,345,678".
std::string FormatCount(int64_t count);

// Columns that `text`, in UTF-8, takes in a terminal; every code point counts as one.
int DisplayWidth(absl::string_view text);

// What a server or file sent, made safe to print: control characters, which could move the cursor
// or change the terminal's title, become '?'. Newlines are kept if `keep_newlines`.
std::string Printable(absl::string_view text, bool keep_newlines = false);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_FORMAT_H_
