#include "bench/rows.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace topiary {

BenchmarkRow RowOf(const std::string& name, const Comparison& c) {
  return {name, c.ours * 1e3, c.theirs * 1e3, c.ratio, "ms", c.spread};
}

std::string ToTable(const BenchmarkRun& run) {
  std::string text = absl::StrCat(run.benchmark, " beside ", run.peer, "\n", run.machine, "\n");
  absl::StrAppendFormat(&text, "peak measured: %.0f GF/s, %.0f GB/s\n", run.peak_gflops,
                        run.peak_gbytes_per_s);
  absl::StrAppendFormat(&text, "%-28s %10s %10s %7s %-5s %7s\n", "name", "ours", "peer", "ratio",
                        "unit", "spread");
  for (const BenchmarkRow& row : run.rows) {
    absl::StrAppendFormat(&text, "%-28s %10.3f %10.3f %7.2f %-5s %6.0f%%\n", row.name, row.ours,
                          row.peer, row.ratio, row.unit, 100 * row.spread);
  }
  return text;
}

std::string ToJson(const BenchmarkRun& run) {
  nlohmann::ordered_json json = {{"benchmark", run.benchmark},
                                 {"peer", run.peer},
                                 {"machine", run.machine},
                                 {"peak_gflops", run.peak_gflops},
                                 {"peak_gbytes_per_s", run.peak_gbytes_per_s},
                                 {"rows", nlohmann::ordered_json::array()}};
  for (const BenchmarkRow& row : run.rows) {
    json["rows"].push_back({{"name", row.name},
                            {"ours", row.ours},
                            {"peer", row.peer},
                            {"ratio", row.ratio},
                            {"unit", row.unit},
                            {"spread", row.spread}});
  }
  return json.dump(2) + "\n";
}

}  // namespace topiary
