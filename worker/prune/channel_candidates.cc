#include "worker/prune/channel_candidates.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/model/channel_coupling.h"
#include "worker/model/channel_sets.h"
#include "worker/model/op_params.h"
#include "worker/model/weight_operands.h"
#include "worker/prune/block_runs.h"

namespace topiary {
namespace {

// What makes channels; the first that holds says what they are.
enum Maker : unsigned { kAttention = 1, kConvolution = 2, kTable = 4, kLinear = 8 };

unsigned WantedMaker(Structure structure) {
  switch (structure) {
    case Structure::kHeads:
      return kAttention;
    case Structure::kChannels:
      return kConvolution;
    case Structure::kEmbeddingDimensions:
      return kTable;
    case Structure::kNeurons:
      return kLinear;
    default:
      return 0;
  }
}

unsigned First(unsigned makers) { return makers & (~makers + 1); }

// Beside its runs: its number in maps of candidates and of channels, what is known of it, and the
// range that it is while runs are made.
constexpr double kBytesPerCandidate = 160;
// Of vectors that grow, too.
constexpr double kBytesPerRun = 2 * sizeof(BlockRun);

// What is taken is counted first: a small file can ask for very much. In double, since beside an
// extent of 0 there may be one of any size.
class MemoryToFind {
 public:
  MemoryToFind(Structure structure, std::optional<int64_t> limit)
      : structure_(structure), limit_(limit) {}

  absl::Status Take(double bytes) {
    taken_ += bytes;
    if (!limit_.has_value() || taken_ <= static_cast<double>(*limit_)) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat(
        "target.structure: finding the ", StructureName(structure_), " of the model takes ",
        std::ceil(taken_ / (1 << 20)), " MiB or more, and the job may use ", *limit_ >> 20,
        " MiB beside its weights: prune blocks, or use a worker with more memory "
        "(spec.placement.memory_bytes)"));
  }

 private:
  const Structure structure_;
  const std::optional<int64_t> limit_;
  double taken_ = 0;
};

// The tables that nodes look up, by name.
std::map<std::string, const Initializer*> TablesIn(const Graph& graph,
                                                   const InferredGraph& inferred) {
  std::map<std::string, const Initializer*> tables;
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    if (node.op_type != "Gather" || tables.count(node.input(0)) > 0) continue;
    const Initializer* table = graph.FindInitializer(node.input(0));
    if (table != nullptr && table->value.shape().rank() == 2) tables[table->name] = table;
  }
  return tables;
}

double BytesOfRows(const Graph& graph, const InferredGraph& inferred) {
  double bytes = 0;
  for (const auto& [name, table] : TablesIn(graph, inferred)) {
    bytes += static_cast<double>(table->value.shape()[0]) * sizeof(BlockRun);
  }
  return bytes;
}

// What ChannelCoupling and Finder take, without the runs.
double BytesOfChannels(const Graph& graph, const InferredGraph& inferred) {
  double bytes = BytesOfChannelCoupling(graph, inferred);
  for (const auto& [name, table] : TablesIn(graph, inferred)) {
    bytes += static_cast<double>(table->value.shape()[1]) * kBytesPerCandidate;
  }
  const WeightOperands operands(graph, inferred);
  std::set<std::string> seen;
  for (const int index : inferred.live_nodes) {
    const auto operand = operands.Of(graph.nodes[index]);
    if (!operand.has_value() || !seen.insert(operand->weight).second) continue;
    const Shape& shape = inferred.values.at(operand->weight).shape;
    for (const int axis : {operand->in_axis, operand->out_axis}) {
      bytes += static_cast<double>(shape[axis]) * kBytesPerCandidate;
    }
  }
  return bytes;
}

class Finder {
 public:
  Finder(const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
         Structure structure)
      : graph_(graph),
        trainable_(trainable),
        coupling_(graph, inferred),
        operands_(graph, inferred),
        wanted_(WantedMaker(structure)),
        makers_of_(coupling_.group_count(), 0),
        obstacles_(coupling_.group_count(), nullptr),
        is_read_(coupling_.group_count(), false) {
    for (const int index : inferred.live_nodes) Visit(graph.nodes[index]);
    FindObstacles();
  }

  absl::StatusOr<std::vector<FoundGroup>> Find(MemoryToFind* memory,
                                               const std::function<absl::Status()>& check) {
    // A weight's channels are of one group; weights that make a channel together are too.
    ChannelSets sets;
    sets.New(coupling_.group_count());
    for (const Made& made : made_) {
      int first = -1;
      for (const int channel : Channels(made.at)) {
        if (!Wanted(channel)) continue;
        if (first >= 0) sets.Join(channel, first);
        first = channel;
      }
    }
    std::map<int64_t, WeightAxes> axes = AxesBySet(&sets);
    std::vector<FoundGroup> groups;
    std::set<int64_t> seen;
    for (const Made& made : made_) {
      const absl::Span<const int> channels = Channels(made.at);
      const auto any = std::find_if(channels.begin(), channels.end(),
                                    [&](int channel) { return Wanted(channel); });
      if (any == channels.end()) {
        if (MayBeWanted(made)) groups.push_back({made.at.weight, nullptr, {made.at}, WhyFixed()});
        continue;
      }
      const int64_t set = sets.Find(*any);
      if (!seen.insert(set).second) continue;
      RETURN_IF_ERROR(check());
      ASSIGN_OR_RETURN(FoundGroup group, Describe(set, axes.at(set), &sets, memory));
      groups.push_back(std::move(group));
    }
    return groups;
  }

 private:
  struct Made {
    WeightAxis at;
    unsigned maker = 0;
  };
  // With wanted channels of one set.
  struct WeightAxes {
    std::vector<const WeightAxis*> made;
    std::vector<const WeightAxis*> read;
  };

  absl::Span<const int> Channels(const WeightAxis& at) const {
    return coupling_.ChannelsOf(at.weight, at.axis);
  }
  const Shape& ShapeOf(const std::string& weight) const {
    return graph_.FindInitializer(weight)->value.shape();
  }
  // Of numbers, whose columns are told apart.
  bool IsTable(const std::string& name) const {
    return !coupling_.ChannelsOf(name, 1).empty() &&
           graph_.FindInitializer(name)->value.dtype() == DType::kFloat32;
  }
  bool Wanted(int channel) const {
    return channel != ChannelCoupling::kFixed && First(makers_of_[channel]) == wanted_;
  }

  void Visit(const Node& node) {
    if (const auto operand = operands_.Of(node)) {
      Add({operand->weight, node.name, operand->out_axis},
          node.op_type == "Conv" ? kConvolution : kLinear);
      const WeightAxis in{operand->weight, node.name, operand->in_axis};
      // Grouped convolutions have no channels there.
      if (!Channels(in).empty() && known_readers_.insert({in.weight, in.axis}).second) {
        read_.push_back(in);
      }
      return;
    }
    if (node.op_type == "Gather" && IsTable(node.input(0))) {
      Add({node.input(0), node.name, 1}, kTable);
    } else if (node.op_type == "MatMul") {
      for (const int channel : coupling_.ChannelsOf(node.output(0))) Mark(channel, kAttention);
    }
  }

  void Mark(int channel, unsigned maker) {
    if (channel != ChannelCoupling::kFixed) makers_of_[channel] |= maker;
  }

  void Add(const WeightAxis& at, unsigned maker) {
    if (Channels(at).empty()) return;
    for (const int channel : Channels(at)) Mark(channel, maker);
    if (known_makers_.insert({at.weight, at.axis}).second) made_.push_back({at, maker});
  }

  // By channel, why it cannot be scaled where it is read.
  void FindObstacles() {
    for (const WeightAxis& reader : read_) {
      std::string obstacle;
      if (known_readers_.count({reader.weight, 1 - reader.axis}) > 0) {
        obstacle = absl::StrCat("'", reader.weight, "' is read along both its axes");
      }
      if (ShapeOf(reader.weight).element_count() == 0) {
        obstacle = absl::StrCat("'", reader.weight, "', which reads it, has no elements");
      }
      if (trainable_.count(reader.weight) == 0) {
        obstacle = absl::StrCat("'", reader.weight, "', which reads it, is not trained");
      }
      if (!obstacle.empty()) reasons_.push_back(obstacle);
      for (const int channel : Channels(reader)) {
        if (channel == ChannelCoupling::kFixed) continue;
        is_read_[channel] = true;
        if (!obstacle.empty()) obstacles_[channel] = &reasons_.back();
      }
    }
  }

  // A weight of whose channels none is a candidate of this kind, but might have been one.
  bool MayBeWanted(const Made& made) const {
    if (made.maker != wanted_) return false;
    const absl::Span<const int> channels = Channels(made.at);
    return std::all_of(channels.begin(), channels.end(),
                       [](int channel) { return channel == ChannelCoupling::kFixed; });
  }

  static std::string WhyFixed() {
    return "all it makes must stay: it is an output of the model, is normalized over, or is read "
           "by an operator that does not tell its channels apart";
  }

  std::map<int64_t, WeightAxes> AxesBySet(ChannelSets* sets) const {
    std::map<int64_t, WeightAxes> axes;
    const auto sets_of = [&](const WeightAxis& at) {
      std::set<int64_t> found;
      for (const int channel : Channels(at)) {
        if (Wanted(channel)) found.insert(sets->Find(channel));
      }
      return found;
    };
    for (const Made& made : made_) {
      for (const int64_t set : sets_of(made.at)) axes[set].made.push_back(&made.at);
    }
    for (const WeightAxis& reader : read_) {
      for (const int64_t set : sets_of(reader)) axes[set].read.push_back(&reader);
    }
    return axes;
  }

  absl::StatusOr<FoundGroup> Describe(int64_t set, const WeightAxes& axes, ChannelSets* sets,
                                      MemoryToFind* memory) const {
    FoundGroup found;
    std::map<int, int> candidates;  // By channel.
    const auto belongs = [&](int channel) { return Wanted(channel) && sets->Find(channel) == set; };
    for (const WeightAxis* made : axes.made) {
      found.makers.push_back(*made);
      for (const int channel : Channels(*made)) {
        if (!belongs(channel)) continue;
        if (obstacles_[channel] != nullptr) {
          found.reason = *obstacles_[channel];
        } else if (!is_read_[channel]) {
          found.reason = "no weight of a Gemm, MatMul or Conv reads what it makes";
        } else {
          candidates.try_emplace(channel, static_cast<int>(candidates.size()));
        }
      }
    }
    found.name = found.makers[0].weight;
    if (candidates.empty()) return found;
    found.reason.clear();
    ASSIGN_OR_RETURN(std::vector<CandidatePart> scaled, Parts(axes.read, candidates, memory));
    ASSIGN_OR_RETURN(std::vector<CandidatePart> coupled, Parts(axes.made, candidates, memory));
    found.group = std::make_shared<const CandidateGroup>(
        found.name, static_cast<int64_t>(candidates.size()), std::move(scaled), std::move(coupled));
    return found;
  }

  absl::StatusOr<std::vector<CandidatePart>> Parts(const std::vector<const WeightAxis*>& axes,
                                                   const std::map<int, int>& candidates,
                                                   MemoryToFind* memory) const {
    std::vector<CandidatePart> parts;
    for (const WeightAxis* at : axes) {
      std::vector<int> blocks;
      for (const int channel : Channels(*at)) {
        const auto found = candidates.find(channel);
        blocks.push_back(found == candidates.end() ? -1 : found->second);
      }
      const Shape& shape = ShapeOf(at->weight);
      RETURN_IF_ERROR(memory->Take(static_cast<double>(CountRunsOfSlices(shape, at->axis, blocks)) *
                                   kBytesPerRun));
      std::vector<BlockRun> runs = RunsOfSlices(shape, at->axis, blocks);
      if (!runs.empty()) parts.push_back({at->weight, shape.element_count(), std::move(runs)});
    }
    return parts;
  }

  const Graph& graph_;
  const std::set<std::string>& trainable_;
  const ChannelCoupling coupling_;
  const WeightOperands operands_;
  const unsigned wanted_;
  std::vector<Made> made_;
  std::vector<WeightAxis> read_;
  std::set<std::pair<std::string, int>> known_makers_, known_readers_;
  // By channel.
  std::vector<unsigned> makers_of_;
  std::deque<std::string> reasons_;  // One for each reader, of many channels.
  std::vector<const std::string*> obstacles_;
  std::vector<bool> is_read_;
};

// Whether nothing but lookups reads `table`.
bool IsLookedUpOnly(const Graph& graph, const std::string& table) {
  for (const Node& node : graph.nodes) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const bool looks_up =
          i == 0 && node.op_type == "Gather" && ReadAxis(node, 2).value_or(-1) == 0;
      if (node.inputs[i] == table && !looks_up) return false;
    }
  }
  return std::none_of(graph.outputs.begin(), graph.outputs.end(),
                      [&](const ValueInfo& output) { return output.name == table; });
}

std::vector<FoundGroup> FindRows(const Graph& graph, const InferredGraph& inferred,
                                 const std::set<std::string>& trainable) {
  std::vector<FoundGroup> groups;
  std::set<std::string> seen;
  for (const int index : inferred.live_nodes) {
    const Node& node = graph.nodes[index];
    const Initializer* table =
        node.op_type == "Gather" ? graph.FindInitializer(node.input(0)) : nullptr;
    if (table == nullptr || table->value.shape().rank() != 2) continue;
    if (table->value.dtype() != DType::kFloat32 || !seen.insert(table->name).second) continue;
    FoundGroup found;
    found.name = table->name;
    found.makers = {{table->name, node.name, 0}};
    const Shape& shape = table->value.shape();
    if (trainable.count(table->name) == 0) {
      found.reason = "not trained";
    } else if (!IsLookedUpOnly(graph, table->name)) {
      found.reason = "more than lookups of rows reads it";
    } else if (shape[0] > std::numeric_limits<int>::max()) {
      found.reason = "too many rows";
    } else if (shape.element_count() == 0) {
      found.reason = "it has no elements";
    } else {
      CandidatePart part{table->name, shape.element_count(),
                         RunsOfRows(static_cast<int32_t>(shape[0]), shape[1])};
      found.group = std::make_shared<const CandidateGroup>(
          table->name, shape[0], std::vector<CandidatePart>{std::move(part)},
          std::vector<CandidatePart>());
    }
    groups.push_back(std::move(found));
  }
  return groups;
}

}  // namespace

absl::StatusOr<std::vector<FoundGroup>> FindChannelCandidates(
    const Graph& graph, const InferredGraph& inferred, const std::set<std::string>& trainable,
    Structure structure, std::optional<int64_t> memory_bytes,
    const std::function<absl::Status()>& check) {
  MemoryToFind memory(structure, memory_bytes);
  if (structure == Structure::kEmbeddingRows) {
    RETURN_IF_ERROR(memory.Take(BytesOfRows(graph, inferred)));
    return FindRows(graph, inferred, trainable);
  }
  RETURN_IF_ERROR(memory.Take(BytesOfChannels(graph, inferred)));
  return Finder(graph, inferred, trainable, structure).Find(&memory, check);
}

}  // namespace topiary
