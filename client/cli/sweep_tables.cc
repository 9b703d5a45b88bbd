#include "client/cli/sweep_tables.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"
#include "client/cli/json_reading.h"
#include "client/cli/messages.h"
#include "client/cli/table.h"

namespace topiary {
namespace {

using Align = Table::Align;

constexpr int kMaxColumn = 60;

std::string LastPart(const std::string& name) { return name.substr(name.rfind('/') + 1); }

void AddList(absl::string_view key, const std::vector<std::string>& words, std::string* text) {
  if (words.empty()) return;
  absl::StrAppendFormat(text, "%-12s%s\n", key, Printable(absl::StrJoin(words, ", ")));
}

// ---- Of jobs

// NaN where the child has none of that name.
double MetricOf(const v1::Job& child, const std::string& name) {
  const auto& result = child.result();
  const auto& metrics =
      result.pruned_metrics().empty() ? result.dense_metrics() : result.pruned_metrics();
  const auto found = metrics.find(name);
  return found == metrics.end() ? std::nan("") : found->second;
}

// The metric to show: accuracy, or the first by name where the children have others.
std::string ShownMetric(const std::vector<v1::Job>& children) {
  std::set<std::string> names;
  for (const v1::Job& child : children) {
    for (const auto* metrics :
         {&child.result().pruned_metrics(), &child.result().dense_metrics()}) {
      for (const auto& [name, value] : *metrics) names.insert(name);
    }
  }
  if (names.empty() || names.count("accuracy") == 1) return "accuracy";
  return *names.begin();
}

// ---- Of reports

// What tells the methods of a report apart: the name, and the options where one name has several.
class MethodLabels {
 public:
  MethodLabels(const Json& methods, const Json& rows) : methods_(methods) {
    for (const Json& row : rows) options_[Text(Get(row, "method"))].insert(OptionsText(row));
  }

  std::string LabelOf(const Json& row) const {
    const std::string method = Text(Get(row, "method"));
    const auto found = options_.find(method);
    if (found == options_.end() || found->second.size() < 2) return method;
    return absl::StrCat(method, " ", OptionsText(row));
  }

 private:
  // In reports of version 1 each row has them.
  const Json& OptionsOf(const Json& row) const {
    const Json& index = Get(row, "method_index");
    const bool is_there = index.is_number_unsigned() && methods_.is_array() &&
                          index.get<uint64_t>() < methods_.size();
    return Get(is_there ? methods_[index.get<size_t>()] : row, "options");
  }

  std::string OptionsText(const Json& row) const {
    return Printable(OptionsOf(row).dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  const Json& methods_;
  std::map<std::string, std::set<std::string>> options_;  // by method
};

std::string BlockText(const Json& row) {
  const Json& block = Get(row, "block");
  if (!block.is_array() || block.size() != 2) return "-";
  return absl::StrCat(Count(block[0]), "x", Count(block[1]));
}

std::string Percent(const Json& value) {
  return value.is_number() ? FormatPercent(Number(value)) : "-";
}

std::string FrontMark(const Json& row) {
  const Json& front = Get(row, "front");
  return front.is_boolean() && front.get<bool>() ? "*" : "";
}

bool HasFront(const Json& rows) {
  return std::any_of(rows.begin(), rows.end(),
                     [](const Json& row) { return !FrontMark(row).empty(); });
}

std::string ChildrenText(const Json& methods, const Json& rows, const std::string& metric) {
  const MethodLabels labels(methods, rows);
  Table table({{"job"},
               {"state"},
               {"method"},
               {"block"},
               {"requested", Align::kRight},
               {"seed", Align::kRight},
               {metric, Align::kRight},
               {"sparsity", Align::kRight},
               {"size", Align::kRight},
               {"front"},
               {"error"}});
  for (const Json& row : rows) {
    const Json& metrics = Get(row, "metrics");
    const Json& pruned = Get(metrics, "pruned");
    const Json& values = pruned.is_object() ? pruned : Get(metrics, "dense");
    table.AddRow({LastPart(Text(Get(row, "job"))), absl::AsciiStrToLower(Text(Get(row, "state"))),
                  labels.LabelOf(row), BlockText(row), Percent(Get(row, "sparsity_requested")),
                  SeedText(Get(row, "seed")), Metric(metric, Get(values, metric.c_str())),
                  Percent(Get(row, "sparsity_reached")), Bytes(Get(row, "bytes")), FrontMark(row),
                  Text(Get(row, "error"))});
  }
  return table.Render(kMaxColumn);
}

// "91.20 % +- 0.31 %"
std::string MeanText(const std::string& metric, const Json& spread) {
  const std::string mean = Metric(metric, Get(spread, "mean"));
  const Json& deviation = Get(spread, "standard_deviation");
  return deviation.is_number() ? absl::StrCat(mean, " +- ", Metric(metric, deviation)) : mean;
}

std::string GroupsText(const Json& methods, const Json& rows, const std::string& metric) {
  const bool several = std::any_of(rows.begin(), rows.end(), [](const Json& row) {
    return Get(row, "seeds").is_array() && Get(row, "seeds").size() > 1;
  });
  if (!several) return "";
  const MethodLabels labels(methods, rows);
  Table table({{"mean over seeds"},
               {"block"},
               {"requested", Align::kRight},
               {"jobs", Align::kRight},
               {metric, Align::kRight},
               {"sparsity", Align::kRight},
               {"size", Align::kRight},
               {"front"}});
  for (const Json& row : rows) {
    table.AddRow({labels.LabelOf(row), BlockText(row), Percent(Get(row, "sparsity_requested")),
                  absl::StrCat(Count(Get(row, "succeeded")), "/", Get(row, "seeds").size()),
                  MeanText(metric, Get(Get(row, "metrics"), metric.c_str())),
                  Percent(Get(Get(row, "sparsity_reached"), "mean")),
                  Bytes(Get(Get(row, "bytes"), "mean")), FrontMark(row)});
  }
  return absl::StrCat("\n", table.Render(kMaxColumn));
}

}  // namespace

std::string SweepText(const v1::Sweep& sweep) {
  std::string text;
  std::vector<std::string> methods;
  for (const v1::CompressionSpec& entry : sweep.methods()) methods.push_back(MethodName(entry));
  std::vector<std::string> blocks;
  for (const v1::Sweep::Block& block : sweep.blocks()) {
    blocks.push_back(absl::StrCat(block.rows(), "x", block.cols()));
  }
  std::vector<std::string> sparsities;
  for (const double sparsity : sweep.sparsities()) sparsities.push_back(FormatPercent(sparsity));
  std::vector<std::string> seeds;
  for (const uint64_t seed : sweep.seeds()) seeds.push_back(absl::StrCat(seed));
  AddList("methods", methods, &text);
  AddList("blocks", blocks, &text);
  AddList("sparsities", sparsities, &text);
  AddList("seeds", seeds, &text);
  return text;
}

std::string ChildTable(const std::vector<v1::Job>& children) {
  const std::string metric = ShownMetric(children);
  Table table({{"job"},
               {"state"},
               {"method"},
               {"block"},
               {"requested", Align::kRight},
               {"seed", Align::kRight},
               {"step", Align::kRight},
               {metric, Align::kRight},
               {"sparsity", Align::kRight},
               {"error"}});
  for (const v1::Job& child : children) {
    const v1::PruningTarget& target = child.spec().target();
    table.AddRow(
        {Printable(LastPart(child.name())), StateName(child.state()), MethodName(child.spec()),
         target.block_rows() > 0 ? absl::StrCat(target.block_rows(), "x", target.block_cols())
                                 : "-",
         target.has_sparsity() ? FormatPercent(target.sparsity()) : "-",
         absl::StrCat(child.spec().task().seed()),
         child.has_progress()
             ? absl::StrCat(child.progress().step(), "/", child.progress().total_steps())
             : "-",
         Metric(metric, MetricOf(child, metric)),
         child.result().has_sparsity_reached() ? FormatPercent(child.result().sparsity_reached())
                                               : "-",
         Printable(child.error().message())});
  }
  return table.Render(kMaxColumn);
}

bool IsSweepReport(const Json& report) {
  return Text(Get(report, "format")) == "topiary-sweep-report";
}

std::string SweepReportText(const Json& report) {
  const Json& children = Get(report, "children");
  const Json& groups = Get(report, "groups");
  const Json& methods = Get(report, "methods");
  const Json& main = Get(report, "metric");
  const std::string metric = Text(Get(main, "name"));
  std::string text =
      absl::StrCat("sweep of ", children.size(), " jobs; main metric ", metric, ", ",
                   Text(Get(main, "better")), " is better\n\n",
                   ChildrenText(methods, children, metric), GroupsText(methods, groups, metric));
  if (HasFront(children)) {
    absl::StrAppend(&text, "\n* on the front: nothing is at least as good in ", metric,
                    ", sparsity and size, and better in one\n");
  }
  return text;
}

}  // namespace topiary
