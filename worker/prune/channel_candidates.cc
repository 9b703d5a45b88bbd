#include "worker/prune/channel_candidates.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
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
        obstacles_(coupling_.group_count()),
        is_read_(coupling_.group_count(), false) {
    for (const int index : inferred.live_nodes) Visit(graph.nodes[index]);
    FindObstacles();
  }

  std::vector<FoundGroup> Find() {
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
      if (seen.insert(set).second) groups.push_back(Describe(set, &sets));
    }
    return groups;
  }

 private:
  struct Made {
    WeightAxis at;
    unsigned maker = 0;
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
      if (!Channels(in).empty()) AddOnce(in, &read_);
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
    for (const Made& made : made_) {
      if (made.at.weight == at.weight && made.at.axis == at.axis) return;
    }
    made_.push_back({at, maker});
  }

  static void AddOnce(const WeightAxis& at, std::vector<WeightAxis>* all) {
    for (const WeightAxis& other : *all) {
      if (other.weight == at.weight && other.axis == at.axis) return;
    }
    all->push_back(at);
  }

  // By channel, why it cannot be scaled where it is read.
  void FindObstacles() {
    for (const WeightAxis& reader : read_) {
      std::string obstacle;
      for (const WeightAxis& other : read_) {
        if (other.weight == reader.weight && other.axis != reader.axis) {
          obstacle = absl::StrCat("'", reader.weight, "' is read along both its axes");
        }
      }
      if (trainable_.count(reader.weight) == 0) {
        obstacle = absl::StrCat("'", reader.weight, "', which reads it, is not trained");
      }
      for (const int channel : Channels(reader)) {
        if (channel == ChannelCoupling::kFixed) continue;
        is_read_[channel] = true;
        if (!obstacle.empty()) obstacles_[channel] = obstacle;
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

  FoundGroup Describe(int64_t set, ChannelSets* sets) const {
    FoundGroup found;
    std::map<int, int> candidates;  // By channel.
    const auto belongs = [&](int channel) { return Wanted(channel) && sets->Find(channel) == set; };
    for (const Made& made : made_) {
      bool makes = false;
      for (const int channel : Channels(made.at)) {
        if (!belongs(channel)) continue;
        makes = true;
        if (!obstacles_[channel].empty()) {
          found.reason = obstacles_[channel];
        } else if (!is_read_[channel]) {
          found.reason = "no weight of a Gemm, MatMul or Conv reads what it makes";
        } else {
          candidates.try_emplace(channel, static_cast<int>(candidates.size()));
        }
      }
      if (makes) found.makers.push_back(made.at);
    }
    found.name = found.makers[0].weight;
    if (candidates.empty()) return found;
    found.reason.clear();
    std::vector<WeightAxis> makers;
    for (const Made& made : made_) makers.push_back(made.at);
    found.group =
        std::make_shared<const CandidateGroup>(found.name, static_cast<int64_t>(candidates.size()),
                                               Parts(read_, candidates), Parts(makers, candidates));
    return found;
  }

  std::vector<CandidatePart> Parts(const std::vector<WeightAxis>& axes,
                                   const std::map<int, int>& candidates) const {
    std::vector<CandidatePart> parts;
    for (const WeightAxis& at : axes) {
      std::vector<int> blocks;
      for (const int channel : Channels(at)) {
        const auto found = candidates.find(channel);
        blocks.push_back(found == candidates.end() ? -1 : found->second);
      }
      const Shape& shape = ShapeOf(at.weight);
      std::vector<BlockRun> runs = RunsOfSlices(shape, at.axis, blocks);
      if (!runs.empty()) parts.push_back({at.weight, shape.element_count(), std::move(runs)});
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
  // By channel.
  std::vector<unsigned> makers_of_;
  std::vector<std::string> obstacles_;
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
    } else {
      std::vector<int> rows(shape[0]);
      std::iota(rows.begin(), rows.end(), 0);
      CandidatePart part{table->name, shape.element_count(), RunsOfSlices(shape, 0, rows)};
      found.group = std::make_shared<const CandidateGroup>(
          table->name, shape[0], std::vector<CandidatePart>{std::move(part)},
          std::vector<CandidatePart>());
    }
    groups.push_back(std::move(found));
  }
  return groups;
}

}  // namespace

std::vector<FoundGroup> FindChannelCandidates(const Graph& graph, const InferredGraph& inferred,
                                              const std::set<std::string>& trainable,
                                              Structure structure) {
  if (structure == Structure::kEmbeddingRows) return FindRows(graph, inferred, trainable);
  return Finder(graph, inferred, trainable, structure).Find();
}

}  // namespace topiary
