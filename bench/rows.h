// Results of benchmarks, as a table and as JSON.
#ifndef TOPIARY_BENCH_ROWS_H_
#define TOPIARY_BENCH_ROWS_H_

#include <string>
#include <vector>

#include "bench/measure.h"

namespace topiary {

// One comparison: ratio = peer / ours, higher is better.
struct BenchmarkRow {
  std::string name;  // "<model>/<dtype>", and what docs/results.md lists.
  double ours = 0;
  double peer = 0;
  double ratio = 0;
  std::string unit;   // Of ours and peer: "ms".
  double spread = 0;  // Of the ratios of the single pairs: the middle half over the median.
};

// What a run was made on, beside its rows.
struct BenchmarkRun {
  std::string benchmark;
  std::string peer;              // "torch 2.15.0".
  std::string machine;           // Processor, instruction set, threads.
  double peak_gflops = 0;        // Measured: the largest product of matrices.
  double peak_gbytes_per_s = 0;  // Measured: reading and writing far beyond the caches.
  std::vector<BenchmarkRow> rows;
};

// A comparison of times, in milliseconds.
BenchmarkRow RowOf(const std::string& name, const Comparison& comparison);

std::string ToTable(const BenchmarkRun& run);
std::string ToJson(const BenchmarkRun& run);

}  // namespace topiary

#endif  // TOPIARY_BENCH_ROWS_H_
