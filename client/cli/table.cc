#include "client/cli/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/format.h"

namespace topiary {
namespace {

// The first `width` code points of `text`, the last three as "..." if any were lost.
std::string Cut(const std::string& text, int width) {
  if (width <= 3 || DisplayWidth(text) <= width) return text;
  size_t end = 0;
  for (int kept = 0; end < text.size(); ++end) {
    const bool starts_code_point = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (starts_code_point && kept++ == width - 3) break;
  }
  return absl::StrCat(text.substr(0, end), "...");
}

void AppendCell(const std::string& cell, int width, Table::Align align, std::string* line) {
  const std::string padding(std::max(0, width - DisplayWidth(cell)), ' ');
  if (align == Table::Align::kRight) absl::StrAppend(line, padding);
  absl::StrAppend(line, cell);
  if (align == Table::Align::kLeft) absl::StrAppend(line, padding);
}

void AppendLine(std::string line, std::string* out) {
  line.erase(line.find_last_not_of(' ') + 1);
  absl::StrAppend(out, line, "\n");
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::Render(int max_column_width) const {
  std::vector<std::vector<std::string>> lines;
  lines.emplace_back();
  for (const Column& column : columns_) lines[0].push_back(column.title);
  lines.insert(lines.end(), rows_.begin(), rows_.end());
  std::vector<int> widths(columns_.size(), 0);
  for (std::vector<std::string>& cells : lines) {
    for (size_t i = 0; i < cells.size(); ++i) {
      if (columns_[i].align == Align::kLeft) cells[i] = Cut(cells[i], max_column_width);
      widths[i] = std::max(widths[i], DisplayWidth(cells[i]));
    }
  }
  std::string out;
  for (size_t row = 0; row < lines.size(); ++row) {
    std::string line;
    std::string rule;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const char* gap = i == 0 ? "" : "  ";
      absl::StrAppend(&line, gap);
      AppendCell(lines[row][i], widths[i], columns_[i].align, &line);
      absl::StrAppend(&rule, gap, std::string(widths[i], '-'));
    }
    AppendLine(std::move(line), &out);
    if (row == 0) AppendLine(std::move(rule), &out);
  }
  return out;
}

}  // namespace topiary
