// Plots of benchmarks, as SVG.
#ifndef TOPIARY_BENCH_PLOT_H_
#define TOPIARY_BENCH_PLOT_H_

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace topiary {

// A line through points of which both coordinates are above 0, x rising.
struct PlotSeries {
  std::string name;  // With its unit.
  std::vector<double> x;
  std::vector<double> y;
};

// Both axes are logarithmic, so that growth by a power is a straight line.
struct PlotPanel {
  std::string title;
  std::string x_label;
  std::vector<PlotSeries> series;
};

// The panels beside one another, two in a row, as an SVG document.
std::string ToSvg(absl::Span<const PlotPanel> panels);

}  // namespace topiary

#endif  // TOPIARY_BENCH_PLOT_H_
