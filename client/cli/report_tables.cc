#include "client/cli/report_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/format.h"
#include "client/cli/json_reading.h"
#include "client/cli/sweep_tables.h"
#include "client/cli/table.h"

namespace topiary {
namespace {

using Align = Table::Align;

bool IsDryRun(const Json& report) {
  const Json& dry_run = Get(report, "dry_run");
  return dry_run.is_boolean() && dry_run.get<bool>();
}

std::string TaskText(const Json& report) {
  const Json& task = Get(report, "task");
  std::string text = absl::StrCat("method ", Text(Get(report, "method")));
  if (!task.is_object() || Text(Get(task, "loss")).empty()) return absl::StrCat(text, "\n");
  absl::StrAppend(&text, ", ", Text(Get(task, "loss")));
  const std::string optimizer = Text(Get(task, "optimizer"));
  if (!optimizer.empty()) absl::StrAppend(&text, ", ", optimizer);
  absl::StrAppend(&text, ", batch ", Count(Get(task, "batch_size")));
  if (!optimizer.empty()) {
    absl::StrAppend(&text, ", ", Count(Get(task, "steps")), " steps (",
                    FormatNumber(Number(Get(task, "epochs"))), " epochs)");
  }
  absl::StrAppend(&text, ", seed ", SeedText(Get(task, "seed")), "\n");
  if (IsDryRun(report)) {
    const Json& costs = Get(report, "costs");
    return absl::StrCat(text, "dry run: nothing was trained, pruned blocks were drawn by chance; ",
                        "training would take about ",
                        FormatNumber(Number(Get(costs, "training_estimate_seconds"))), " s and ",
                        Bytes(Get(costs, "memory_estimate_bytes")), "\n");
  }
  absl::StrAppend(&text, "trained on ", Count(Get(task, "train_examples")),
                  " examples, measured on ", Count(Get(task, "evaluation_examples")), "\n");
  return text;
}

std::string MetricsText(const Json& metrics) {
  std::vector<const char*> models;
  std::set<std::string> names;
  for (const char* model : {"given", "dense", "pruned"}) {
    const Json& values = Get(metrics, model);
    if (!values.is_object() || values.empty()) continue;
    models.push_back(model);
    for (const auto& [name, value] : values.items()) names.insert(name);
  }
  if (models.empty()) return "";
  std::vector<Table::Column> columns = {{"metric"}};
  for (const char* model : models) columns.push_back({model, Align::kRight});
  Table table(columns);
  for (const std::string& name : names) {
    std::vector<std::string> row = {Printable(name)};
    for (const char* model : models) {
      row.push_back(Metric(name, Get(Get(metrics, model), name.c_str())));
    }
    table.AddRow(row);
  }
  return absl::StrCat("\n", table.Render());
}

// What was pruned: "blocks", or the words of a structure.
std::string Candidates(const Json& sparsity) {
  const std::string structure = Text(Get(sparsity, "structure"));
  return structure.empty() ? "blocks" : absl::StrReplaceAll(structure, {{"_", " "}});
}

std::string SparsityText(const Json& sparsity) {
  const Json& latency = Get(sparsity, "latency_requested");
  const Json& block = Get(sparsity, "block");
  std::string text;
  if (Get(sparsity, "requested").is_number()) {
    text = absl::StrCat("\nsparsity requested ", FormatPercent(Number(Get(sparsity, "requested"))),
                        " of the ", Candidates(sparsity));
  } else if (latency.is_object()) {
    text =
        absl::StrCat("\nlatency requested ", FormatPercent(Number(Get(latency, "ratio"))),
                     " of the dense model's at batch ", Count(Get(latency, "batch")), "; sparsity");
  } else if (!block.is_array() && !Get(sparsity, "structure").is_string()) {
    return "";
  } else {
    text = "\nsparsity";
  }
  absl::StrAppend(&text, Get(sparsity, "requested").is_number() ? ", reached " : " reached ",
                  FormatPercent(Number(Get(sparsity, "reached"))), " of all weights");
  if (block.is_array() && block.size() == 2) {
    absl::StrAppend(&text, "; blocks of ", Count(block[0]), "x", Count(block[1]), ", budget ",
                    Text(Get(sparsity, "budget")));
  } else if (!Text(Get(sparsity, "budget")).empty()) {
    absl::StrAppend(&text, "; budget ", Text(Get(sparsity, "budget")));
  }
  return absl::StrCat(text, "\n");
}

// Of a structure. What is gone is named where candidates have names.
std::string GroupsText(const Json& groups) {
  if (!groups.is_array() || groups.empty()) return "";
  Table table({{"group"}, {"live", Align::kRight}, {"note"}});
  for (const Json& group : groups) {
    const bool known = Get(group, "candidates").is_number();
    std::string note = Text(Get(group, "dense_reason"));
    const Json& pruned = Get(group, "pruned");
    if (pruned.is_array() && !pruned.empty()) {
      absl::StrAppend(&note, "without ",
                      absl::StrJoin(pruned, ", ", [](std::string* out, const Json& name) {
                        absl::StrAppend(out, Text(name));
                      }));
    }
    table.AddRow(
        {Text(Get(group, "name")),
         known ? absl::StrCat(Count(Get(group, "live")), "/", Count(Get(group, "candidates")))
               : "-",
         note});
  }
  return absl::StrCat("\n", table.Render(48));
}

// In the order in which they were chosen.
std::string FeaturesText(const Json& selection) {
  const Json& features = Get(selection, "features");
  if (!features.is_array() || features.empty()) return "";
  const auto joined = [](const Json& values, auto text_of) {
    std::vector<std::string> texts;
    if (values.is_array()) {
      for (const Json& value : values) texts.push_back(text_of(value));
    }
    return absl::StrJoin(texts, ", ");
  };
  Table table({{"chosen", Align::kRight}, {"feature"}, {"columns"}, {"step", Align::kRight}});
  int order = 0;
  for (const Json& feature : features) {
    std::string name = Text(Get(feature, "group"));
    if (name.empty()) name = joined(Get(feature, "names"), Text);
    table.AddRow({absl::StrCat(++order), name.empty() ? Text(Get(feature, "input")) : name,
                  joined(Get(feature, "columns"), Count), Count(Get(feature, "step"))});
  }
  const std::string selector = Text(Get(selection, "selector"));
  const std::string of =
      absl::StrCat("\n", order, " of ", Count(Get(selection, "candidates")), " features, ");
  if (Get(selection, "drawn_by_chance") == Json(true)) {
    return absl::StrCat(of, "drawn by chance in place of the choice of ", selector, "\n");
  }
  return absl::StrCat(of, "by ", selector, "\n", table.Render(48));
}

std::string SizeText(const Json& size) {
  if (!size.is_object() || size.empty()) return "";
  Table table({{"size"},
               {"dense", Align::kRight},
               {"reached", Align::kRight},
               {"requested", Align::kRight}});
  for (const char* amount : {"parameters", "bytes", "flops"}) {
    const Json& figures = Get(size, amount);
    const Json& requested = Get(figures, "requested");
    table.AddRow({amount, Count(Get(figures, "dense")), Count(Get(figures, "reached")),
                  requested.is_number() ? Count(requested) : "-"});
  }
  return absl::StrCat("\n", table.Render());
}

std::string BoundText(const Json& bound) {
  if (!bound.is_object()) return "";
  const bool most = bound.contains("at_most");  // Null where the limit is not finite.
  const std::string met = Get(bound, "met") == Json(true)
                              ? absl::StrCat("met by the model of step ", Count(Get(bound, "step")))
                              : "met by no model";
  return absl::StrCat("\nbound ", Text(Get(bound, "metric")), " of at ", most ? "most " : "least ",
                      FormatNumber(Number(Get(bound, most ? "at_most" : "at_least"))), ": ", met,
                      "\n");
}

std::string ShapeText(const Json& shape) {
  if (!shape.is_array()) return "";
  return absl::StrJoin(shape, "x",
                       [](std::string* out, const Json& x) { absl::StrAppend(out, Count(x)); });
}

std::string LayersText(const Json& layers) {
  if (!layers.is_array() || layers.empty()) return "";
  Table table({{"layer"},
               {"kind"},
               {"shape"},
               {"live blocks", Align::kRight},
               {"requested", Align::kRight},
               {"sparsity", Align::kRight},
               {"dense", Align::kRight},
               {"stored", Align::kRight},
               {"note"}});
  for (const Json& layer : layers) {
    const bool blocks = Get(layer, "blocks_total").is_number();
    const Json& requested = Get(layer, "sparsity_requested");
    table.AddRow({Text(Get(layer, "name")), Text(Get(layer, "kind")),
                  ShapeText(Get(layer, "shape")),
                  blocks ? absl::StrCat(Count(Get(layer, "blocks_live")), "/",
                                        Count(Get(layer, "blocks_total")))
                         : "-",
                  requested.is_number() ? FormatPercent(Number(requested)) : "-",
                  FormatPercent(Number(Get(layer, "sparsity"))), Bytes(Get(layer, "dense_bytes")),
                  Bytes(Get(layer, "stored_bytes")), Text(Get(layer, "dense_reason"))});
  }
  return absl::StrCat("\n", table.Render(48));
}

std::string PhasesText(const Json& phases) {
  if (!phases.is_array() || phases.empty()) return "";
  Table table({{"phase"}, {"from step", Align::kRight}, {"to", Align::kRight}});
  for (const Json& phase : phases) {
    table.AddRow({Text(Get(phase, "kind")), Count(Get(phase, "begin")), Count(Get(phase, "end"))});
  }
  return absl::StrCat("\n", table.Render());
}

std::string FilesText(const Json& files) {
  if (!files.is_array() || files.empty()) return "";
  Table table({{"file"}, {"size", Align::kRight}, {"digest"}});
  for (const Json& file : files) {
    table.AddRow({Text(Get(file, "name")), Bytes(Get(file, "bytes")), Text(Get(file, "sha256"))});
  }
  return absl::StrCat("\n", table.Render());
}

// The narrower dense model.
std::string ShrunkText(const Json& shrunk) {
  if (!shrunk.is_object()) return "";
  const std::string file = Text(Get(shrunk, "file"));
  const Json& parameters = Get(shrunk, "parameters");
  const std::string text = absl::StrCat(
      "\n", file.empty() ? "a narrower model" : file, ": ", Count(Get(parameters, "after")), " of ",
      Count(Get(parameters, "before")), " parameters, ", Bytes(Get(shrunk, "bytes")),
      ", without what pruning emptied\n");
  const Json& tensors = Get(shrunk, "tensors");
  if (!tensors.is_array() || tensors.empty()) return text;
  Table table({{"narrower"}, {"before"}, {"after"}});
  for (const Json& tensor : tensors) {
    table.AddRow({Text(Get(tensor, "name")), ShapeText(Get(tensor, "before")),
                  ShapeText(Get(tensor, "after"))});
  }
  return absl::StrCat(text, table.Render(48));
}

std::string Milliseconds(const Json& seconds) {
  const double ms = 1e3 * Number(seconds);
  if (!std::isfinite(ms)) return "-";
  return absl::StrFormat("%.*f", ms < 1 ? 3 : ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
}

std::string Throughput(const Json& statistics) {
  const double rate = Number(Get(statistics, "examples_per_second"));
  return std::isfinite(rate) && rate < 9e18 ? FormatCount(std::llround(rate)) : "-";
}

std::string LatencyText(const Json& latency) {
  if (!latency.is_array() || latency.empty()) return "";
  const bool narrowed = std::any_of(latency.begin(), latency.end(), [](const Json& entry) {
    return Get(entry, "shrunk").is_object();
  });
  std::vector<Table::Column> columns = {{"latency, ms", Align::kLeft},
                                        {"dense p50", Align::kRight},
                                        {"p95", Align::kRight},
                                        {"block-sparse p50", Align::kRight},
                                        {"p95", Align::kRight},
                                        {"speed-up", Align::kRight},
                                        {"examples/s dense", Align::kRight},
                                        {"block-sparse", Align::kRight}};
  if (narrowed) {
    columns.push_back({"narrower p50", Align::kRight});
    columns.push_back({"speed-up", Align::kRight});
  }
  Table table(columns);
  for (const Json& entry : latency) {
    const Json& dense = Get(entry, "dense");
    const Json& sparse = Get(entry, "block_sparse");
    const Json& speedup = Get(entry, "speedup");
    const auto times = [](const Json& factor) {
      return factor.is_number() ? absl::StrFormat("%.2fx", Number(factor)) : "-";
    };
    std::vector<std::string> row = {absl::StrCat("batch ", Count(Get(entry, "batch"))),
                                    Milliseconds(Get(dense, "p50_seconds")),
                                    Milliseconds(Get(dense, "p95_seconds")),
                                    Milliseconds(Get(sparse, "p50_seconds")),
                                    Milliseconds(Get(sparse, "p95_seconds")),
                                    times(speedup),
                                    Throughput(dense),
                                    Throughput(sparse)};
    if (narrowed) {
      row.push_back(Milliseconds(Get(Get(entry, "shrunk"), "p50_seconds")));
      row.push_back(times(Get(entry, "shrunk_speedup")));
    }
    table.AddRow(row);
  }
  return absl::StrCat("\n", table.Render());
}

// The sparsity from which kernels that leave out pruned blocks are faster on the worker.
std::string BreakEvenText(const Json& layers, const Json& latency) {
  if (!layers.is_array()) return "";
  std::vector<Table::Column> columns = {
      {"sparse pays from"}, {"sparsity", Align::kRight}, {"training", Align::kRight}};
  std::vector<const Json*> measured;
  if (latency.is_array()) {
    for (const Json& entry : latency) {
      if (!Get(entry, "break_even_sparsity").is_object()) continue;
      measured.push_back(&Get(entry, "break_even_sparsity"));
      columns.push_back({absl::StrCat("batch ", Count(Get(entry, "batch"))), Align::kRight});
    }
  }
  const auto cell = [](const Json& sparsity) -> std::string {
    if (!sparsity.is_number()) return "-";
    return Number(sparsity) >= 1 ? "never" : FormatPercent(Number(sparsity));
  };
  Table table(columns);
  bool any = false;
  for (const Json& layer : layers) {
    const std::string name = Text(Get(layer, "name"));
    std::vector<std::string> row = {name, FormatPercent(Number(Get(layer, "sparsity"))),
                                    cell(Get(layer, "training_break_even_sparsity"))};
    for (const Json* at : measured) row.push_back(cell(Get(*at, name.c_str())));
    const bool known = std::any_of(row.begin() + 2, row.end(),
                                   [](const std::string& text) { return text != "-"; });
    if (known) table.AddRow(row);
    any = any || known;
  }
  return any ? absl::StrCat("\n", table.Render(48)) : "";
}

// Where the time goes, at each batch.
std::string NodesText(const Json& latency) {
  if (!latency.is_array()) return "";
  std::string text;
  for (const Json& entry : latency) {
    const Json& nodes = Get(entry, "nodes");
    if (!nodes.is_array() || nodes.empty()) continue;
    Table table({{absl::StrCat("batch ", Count(Get(entry, "batch")), ", ms"), Align::kLeft},
                 {"dense", Align::kRight},
                 {"block-sparse", Align::kRight}});
    for (const Json& node : nodes) {
      table.AddRow({Text(Get(node, "node")), Milliseconds(Get(node, "dense_seconds")),
                    Milliseconds(Get(node, "block_sparse_seconds"))});
    }
    absl::StrAppend(&text, "\n", table.Render(64));
  }
  return text;
}

std::string CostsText(const Json& report) {
  const Json& costs = Get(report, "costs");
  const Json& environment = Get(report, "environment");
  std::string text;
  if (costs.is_object() && Number(Get(costs, "training_seconds")) > 0) {
    absl::StrAppend(&text, "\n", Count(Get(costs, "steps")), " steps in ",
                    FormatNumber(Number(Get(costs, "training_seconds"))), " s, ",
                    FormatNumber(Number(Get(costs, "samples_per_second"))),
                    " samples per second; evaluation ",
                    FormatNumber(Number(Get(costs, "evaluation_seconds"))), " s\n");
  }
  if (environment.is_object()) {
    absl::StrAppend(&text, "backend ", Text(Get(environment, "backend")), ", isa ",
                    Text(Get(environment, "isa")), ", threads ",
                    Count(Get(environment, "threads")));
    // Reports of before have none.
    const Json& precision = Get(environment, "precision");
    if (precision.is_string()) absl::StrAppend(&text, ", ", Text(precision), " products");
    text += '\n';
  }
  const Json& exact = Get(report, "bit_exact");
  if (exact.is_boolean() && !exact.get<bool>()) {
    absl::StrAppend(&text, "not bit-exact: attempts ran on unlike workers\n");
  }
  return text;
}

std::string WarningsText(const Json& report) {
  std::string text;
  const auto add = [&text](const Json& warning) {
    if (warning.is_string()) absl::StrAppend(&text, "warning: ", Text(warning), "\n");
  };
  for (const Json& warning : Get(report, "warnings")) add(warning);
  for (const Json& latency : Get(report, "latency")) add(Get(latency, "warning"));
  return text;
}

}  // namespace

absl::StatusOr<std::string> ReportText(const std::string& json) {
  const Json report = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (IsSweepReport(report)) return SweepReportText(report);
  if (!report.is_object() || Text(Get(report, "method")).empty()) {
    return absl::InvalidArgumentError("this is not a report of a job");
  }
  return absl::StrCat(
      TaskText(report), WarningsText(report), MetricsText(Get(report, "metrics")),
      SparsityText(Get(report, "sparsity")), SizeText(Get(report, "size")),
      BoundText(Get(report, "accuracy_bound")), FeaturesText(Get(report, "feature_selection")),
      GroupsText(Get(report, "groups")), LayersText(Get(report, "layers")),
      PhasesText(Get(report, "phases")), FilesText(Get(report, "files")),
      ShrunkText(Get(report, "shrunk")), LatencyText(Get(report, "latency")),
      NodesText(Get(report, "latency")),
      BreakEvenText(Get(report, "layers"), Get(report, "latency")), CostsText(report));
}

}  // namespace topiary
