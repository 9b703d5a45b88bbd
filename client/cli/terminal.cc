#include "client/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

constexpr int kWidthWithoutTerminal = 100;

void Write(absl::string_view text, std::FILE* stream) {
  std::fwrite(text.data(), 1, text.size(), stream);
  std::fflush(stream);
}

}  // namespace

Terminal::Terminal(std::FILE* out, std::FILE* err, bool json)
    : out_(out), err_(err), json_(json), interactive_(!json && isatty(fileno(err)) == 1) {}

int Terminal::width() const {
  struct winsize size = {};
  if (ioctl(fileno(err_), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    return kWidthWithoutTerminal;
  }
  return std::max(20, static_cast<int>(size.ws_col) - 1);
}

void Terminal::Print(absl::string_view text) {
  EndDrawing();
  Write(text, out_);
}

void Terminal::Note(absl::string_view line) {
  EndDrawing();
  Write(absl::StrCat(line, "\n"), err_);
}

void Terminal::Redraw(absl::string_view line) {
  if (!interactive_) return;
  // Back to the first column; and what is left of a longer line is erased.
  Write(absl::StrCat("\r", line, "\x1B[K"), err_);
  drawing_ = true;
}

void Terminal::EndDrawing() {
  if (!drawing_) return;
  Write("\n", err_);
  drawing_ = false;
}

}  // namespace topiary
