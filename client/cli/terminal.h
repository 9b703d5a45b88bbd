#ifndef TOPIARY_CLIENT_CLI_TERMINAL_H_
#define TOPIARY_CLIENT_CLI_TERMINAL_H_

#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace topiary {

// Where a command writes: results to `out`, everything else (notes, progress, errors) to `err`, so
// that results can be piped. Not thread-safe.
class Terminal {
 public:
  // Does not take the streams over. With `json`, results are JSON documents, and progress is never
  // drawn in place.
  Terminal(std::FILE* out, std::FILE* err, bool json);

  bool json() const { return json_; }
  // Whether progress may be drawn in place: `err` is a terminal and results are text.
  bool interactive() const { return interactive_; }
  // Columns of the terminal; 100 if there is none.
  int width() const;

  // A result, as it is.
  void Print(absl::string_view text);
  // A line for the user.
  void Note(absl::string_view line);
  // Draws `line` over the one drawn before. Does nothing unless interactive().
  void Redraw(absl::string_view line);
  // Ends the line that was drawn, so that it stays.
  void EndDrawing();

 private:
  std::FILE* const out_;
  std::FILE* const err_;
  const bool json_;
  const bool interactive_;
  bool drawing_ = false;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_TERMINAL_H_
