#include "bench/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace topiary {
namespace {

constexpr double kWidth = 440, kHeight = 320;                       // Of a panel,
constexpr double kLeft = 56, kRight = 24, kTop = 40, kBottom = 48;  // and of its margins.
constexpr const char* kColors[] = {"#1f6fb4", "#d1671c", "#3a8a3a", "#8a4fa3"};

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

// "0.1", "20", "3 k", "10 M".
std::string Label(double value) {
  if (value >= 1e6) return absl::StrFormat("%g M", value / 1e6);
  if (value >= 1e3) return absl::StrFormat("%g k", value / 1e3);
  return absl::StrFormat("%g", value);
}

// An axis from one power of ten to another.
class LogAxis {
 public:
  LogAxis(double least, double most, double from, double to)
      : low_(std::floor(std::log10(least) + 1e-9)),
        high_(std::max(low_ + 1, std::ceil(std::log10(most) - 1e-9))),
        from_(from),
        to_(to) {}

  double At(double value) const {
    return from_ + (std::log10(value) - low_) / (high_ - low_) * (to_ - from_);
  }
  std::vector<double> Ticks() const {
    std::vector<double> ticks;
    const int last = static_cast<int>(high_);
    for (int power = static_cast<int>(low_); power <= last; ++power) {
      ticks.push_back(std::pow(10, power));
    }
    return ticks;
  }

 private:
  double low_;
  double high_;
  double from_;
  double to_;
};

void AppendPanel(const PlotPanel& panel, double left, double top, std::string* svg) {
  double least_x = std::numeric_limits<double>::infinity(), least_y = least_x, most_x = 0,
         most_y = 0;
  for (const PlotSeries& series : panel.series) {
    for (size_t i = 0; i < series.x.size(); ++i) {
      least_x = std::min(least_x, series.x[i]);
      most_x = std::max(most_x, series.x[i]);
      least_y = std::min(least_y, series.y[i]);
      most_y = std::max(most_y, series.y[i]);
    }
  }
  absl::StrAppendFormat(svg, "<g transform=\"translate(%g %g)\">\n", left, top);
  absl::StrAppendFormat(svg, "<text x=\"%g\" y=\"16\" font-weight=\"bold\">%s</text>\n", kLeft,
                        Escaped(panel.title));
  const double right = kWidth - kRight, bottom = kHeight - kBottom;
  if (most_x > 0) {
    const LogAxis x(least_x, most_x, kLeft, right), y(least_y, most_y, bottom, kTop);
    for (const double tick : x.Ticks()) {
      absl::StrAppendFormat(svg,
                            "<path d=\"M%.1f %gV%g\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%g\" "
                            "text-anchor=\"middle\">%s</text>\n",
                            x.At(tick), kTop, bottom, x.At(tick), bottom + 16, Label(tick));
    }
    for (const double tick : y.Ticks()) {
      absl::StrAppendFormat(svg,
                            "<path d=\"M%g %.1fH%g\" stroke=\"#ddd\"/><text x=\"%g\" y=\"%.1f\" "
                            "text-anchor=\"end\">%s</text>\n",
                            kLeft, y.At(tick), right, kLeft - 6, y.At(tick) + 4, Label(tick));
    }
    for (size_t s = 0; s < panel.series.size(); ++s) {
      const PlotSeries& series = panel.series[s];
      const char* color = kColors[s % std::size(kColors)];
      std::string points;
      for (size_t i = 0; i < series.x.size(); ++i) {
        absl::StrAppendFormat(&points, "%.1f,%.1f ", x.At(series.x[i]), y.At(series.y[i]));
        absl::StrAppendFormat(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                              x.At(series.x[i]), y.At(series.y[i]), color);
      }
      absl::StrAppendFormat(svg, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\"/>\n", points,
                            color);
      absl::StrAppendFormat(svg, "<text x=\"%g\" y=\"%g\" fill=\"%s\">%s</text>\n", kLeft + 8,
                            kTop + 16 + 16 * static_cast<double>(s), color, Escaped(series.name));
    }
  }
  absl::StrAppendFormat(svg, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n</g>\n",
                        (kLeft + right) / 2, kHeight - 12, Escaped(panel.x_label));
}

}  // namespace

std::string ToSvg(absl::Span<const PlotPanel> panels) {
  const size_t down = (panels.size() + 1) / 2, across = std::min<size_t>(2, panels.size());
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
      kWidth * static_cast<double>(across), kHeight * static_cast<double>(down));
  for (size_t i = 0; i < panels.size(); ++i) {
    const size_t column = i % 2, row = i / 2;
    AppendPanel(panels[i], kWidth * static_cast<double>(column),
                kHeight * static_cast<double>(row) + 8, &svg);
  }
  return svg + "</svg>\n";
}

}  // namespace topiary
