#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "google/protobuf/descriptor.h"
#include "server/api/serialize.h"
#include "server/api/spec_defaults.h"
#include "server/api/spec_validation_parts.h"
#include "server/api/sweep_children.h"

namespace topiary {
namespace {

constexpr absl::string_view kTwice = "is named twice";

// The field of `message` that its oneof has chosen; null: none.
const google::protobuf::FieldDescriptor* Chosen(const google::protobuf::Message& message,
                                                const char* oneof) {
  return message.GetReflection()->GetOneofFieldDescriptor(
      message, message.GetDescriptor()->FindOneofByName(oneof));
}

bool MakesAModel(const v1::CompressionSpec& spec) {
  return !spec.has_evaluate() && !spec.has_benchmark();
}

// As the coordinator fills it in; a default of some methods is the optimizer's decay.
std::string WithDefaults(v1::CompressionSpec method, const v1::Optimizer& optimizer) {
  *method.mutable_task()->mutable_optimizer() = optimizer;
  FillDefaults(&method);
  return SerializeDeterministically(method);
}

void ValidateMethods(const v1::CompressionSpec& spec, absl::string_view path,
                     FieldViolations* violations) {
  const v1::Sweep& sweep = spec.sweep();
  std::set<std::string> seen;
  for (int i = 0; i < sweep.methods_size(); ++i) {
    const v1::CompressionSpec& entry = sweep.methods(i);
    v1::CompressionSpec rest = entry;
    rest.clear_method();
    const std::string element = ElementPath(path, "methods", i);
    const auto* method = Chosen(entry, "method");
    if (method == nullptr || rest.ByteSizeLong() != 0) {
      violations->Add(element, "must have a method and nothing else");
      continue;
    }
    violations->Check(MakesAModel(entry), JoinPath(element, method->name()),
                      "makes no model: it does not belong in a sweep");
    violations->Check(seen.insert(WithDefaults(entry, spec.task().optimizer())).second, element,
                      kTwice);
  }
}

void ValidateLists(const v1::CompressionSpec& spec, absl::string_view path,
                   FieldViolations* violations) {
  const v1::Sweep& sweep = spec.sweep();
  ValidateMethods(spec, path, violations);
  std::set<std::pair<int, int>> blocks;
  for (int i = 0; i < sweep.blocks_size(); ++i) {
    const std::string element = ElementPath(path, "blocks", i);
    const v1::Sweep::Block& block = sweep.blocks(i);
    FieldChecks check(element, violations);
    check.InRange(block.rows(), 1, 4096, "rows");
    check.InRange(block.cols(), 1, 4096, "cols");
    violations->Check(blocks.insert({block.rows(), block.cols()}).second, element, kTwice);
  }
  std::set<double> sparsities;
  for (int i = 0; i < sweep.sparsities_size(); ++i) {
    violations->Check(sparsities.insert(sweep.sparsities(i)).second,
                      ElementPath(path, "sparsities", i), kTwice);
  }
  std::set<uint64_t> seeds;
  for (int i = 0; i < sweep.seeds_size(); ++i) {
    violations->Check(seeds.insert(sweep.seeds(i)).second, ElementPath(path, "seeds", i), kTwice);
  }
}

// What entries stand for must not be in the spec itself.
void ValidateRoom(const v1::CompressionSpec& spec, absl::string_view path,
                  FieldViolations* violations) {
  FieldChecks check(path, violations);
  const v1::Sweep& sweep = spec.sweep();
  const auto* method = Chosen(spec, "method");
  if (method != nullptr) {
    check.That(sweep.methods().empty(), method->name(), "must be left out with sweep.methods");
    check.That(MakesAModel(spec), method->name(), "makes no model: leave sweep out");
  }
  if (!sweep.sparsities().empty()) {
    const auto* amount = Chosen(spec.target(), "amount");
    check.That(amount == nullptr, absl::StrCat("target.", amount == nullptr ? "" : amount->name()),
               "must be left out with sweep.sparsities");
  }
  if (!sweep.blocks().empty()) {
    constexpr absl::string_view kWhy = "must be left out with sweep.blocks";
    check.That(spec.target().block_rows() == 0, "target.block_rows", kWhy);
    check.That(spec.target().block_cols() == 0, "target.block_cols", kWhy);
  }
  check.That(sweep.seeds().empty() || !spec.task().has_seed(), "task.seed",
             "must be left out with sweep.seeds");
}

// Whether `field` is `name` or lies in it; if so, `rest` is what follows.
bool IsIn(absl::string_view field, absl::string_view name, absl::string_view* rest) {
  *rest = field;
  return absl::ConsumePrefix(rest, name) && (rest->empty() || rest->front() == '.');
}

// The entry that `field` of a child, a path from its spec, comes from; "": from none.
std::string EntryPath(const v1::CompressionSpec& child, const SweepEntries& entries,
                      absl::string_view field) {
  absl::string_view rest;
  if (entries.sparsity >= 0 && IsIn(field, "target.sparsity", &rest)) {
    return absl::StrCat("sweep.sparsities[", entries.sparsity, "]");
  }
  if (entries.block >= 0 && absl::ConsumePrefix(&field, "target.block_")) {
    return absl::StrCat("sweep.blocks[", entries.block, "].", field);
  }
  if (entries.seed >= 0 && IsIn(field, "task.seed", &rest)) {
    return absl::StrCat("sweep.seeds[", entries.seed, "]");
  }
  const auto* method = Chosen(child, "method");
  if (entries.method >= 0 && method != nullptr && IsIn(field, method->name(), &rest)) {
    return absl::StrCat("sweep.methods[", entries.method, "].", field);
  }
  return "";
}

// "methods[1], sparsities[0]"
std::string Name(const SweepEntries& entries) {
  std::vector<std::string> parts;
  const auto add = [&](const char* list, int index) {
    if (index >= 0) parts.push_back(absl::StrCat(list, "[", index, "]"));
  };
  add("methods", entries.method);
  add("blocks", entries.block);
  add("sparsities", entries.sparsity);
  add("seeds", entries.seed);
  return absl::StrJoin(parts, ", ");
}

// What is wrong with one field of children.
struct Wrong {
  FieldViolation violation;
  int children = 0;          // that it is wrong with
  std::string first;         // of these, by name
  bool is_of_entry = false;  // the path names it
};

}  // namespace

void ValidateSweep(const v1::CompressionSpec& spec, absl::string_view path,
                   FieldViolations* violations) {
  const v1::Sweep& sweep = spec.sweep();
  const std::string sweep_path = JoinPath(path, "sweep");
  const int64_t count = CountCombinations(sweep);
  if (!violations->Check(kMinSweepChildren <= count && count <= kMaxSweepChildren, sweep_path,
                         absl::StrCat("the lists must make ", kMinSweepChildren, " to ",
                                      kMaxSweepChildren, " combinations; they make ", count))) {
    return;
  }
  const size_t before = violations->count();
  ValidateLists(spec, sweep_path, violations);
  ValidateRoom(spec, path, violations);
  v1::CompressionSpec common = spec;
  common.clear_sweep();
  size_t largest = 0;
  for (const v1::CompressionSpec& method : sweep.methods()) {
    largest = std::max(largest, method.ByteSizeLong());
  }
  const auto bytes = static_cast<int64_t>(common.ByteSizeLong() + largest) * count;
  violations->Check(bytes <= kMaxSweepBytes, sweep_path,
                    "the specs of all children must not take more than 16 MiB");
  if (violations->count() > before) return;

  ValidateSurroundings(common, path, violations);
  std::vector<Wrong> wrongs;  // in the order in which they were found
  std::map<std::pair<std::string, std::string>, size_t> places;
  // No seed is wrong: of children that differ in it alone, which follow one another, the first
  // does.
  const int64_t seeds = std::max(1, sweep.seeds_size());
  for (int64_t i = 0; i < count; i += seeds) {
    const SweepEntries entries = EntriesOf(sweep, i);
    const v1::CompressionSpec child = ChildSpec(common, sweep, entries);
    FieldViolations found;
    ValidateWork(child, "", &found);
    for (const FieldViolation& violation : found.violations()) {
      const std::string entry = EntryPath(child, entries, violation.field);
      FieldViolation named = violation;
      named.field = JoinPath(path, entry.empty() ? violation.field : entry);
      const auto key = std::make_pair(named.field, named.description);
      const auto [place, is_new] = places.emplace(key, wrongs.size());
      if (is_new) wrongs.push_back({std::move(named), 0, Name(entries), !entry.empty()});
      ++wrongs[place->second].children;
    }
  }
  for (const Wrong& wrong : wrongs) {
    const bool is_of_some = !wrong.is_of_entry && wrong.children < count / seeds;
    violations->Add(
        wrong.violation.field,
        absl::StrCat(wrong.violation.description,
                     is_of_some ? absl::StrCat(" (with sweep.", wrong.first, ")") : ""));
  }
}

}  // namespace topiary
