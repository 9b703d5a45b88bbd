#ifndef TOPIARY_CLIENT_CLI_TABLE_H_
#define TOPIARY_CLIENT_CLI_TABLE_H_

#include <string>
#include <vector>

namespace topiary {

// A table for the terminal: a heading, a rule, rows; columns two spaces apart, as wide as their
// widest cell. Cells must be printable (Printable() in format.h) and hold no newline.
// Thread-compatible.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns);

  // Missing cells are empty; cells beyond the last column are dropped.
  void AddRow(std::vector<std::string> cells);

  bool empty() const { return rows_.empty(); }

  // Lines end in a newline and have no trailing spaces. A left-aligned column wider than
  // `max_column_width` is cut, with "..." in place of the rest; 0 cuts nothing.
  std::string Render(int max_column_width = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_TABLE_H_
