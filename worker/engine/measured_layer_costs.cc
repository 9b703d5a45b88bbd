#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/file_lock.h"
#include "common/logging.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "worker/engine/layer_cost.h"

namespace topiary {
namespace {

using Json = nlohmann::ordered_json;
using CostTable = std::map<std::string, LayerCost>;  // By LayerWork::Key().

constexpr char kFormat[] = "topiary-layer-costs";
constexpr uint64_t kMostBytes = 64 << 20;
constexpr std::chrono::milliseconds kPause(20);

// Instrumented and unoptimized kernels take times of their own.
#if defined(__SANITIZE_ADDRESS__)
constexpr char kBuild[] = "asan";
#elif defined(__SANITIZE_THREAD__)
constexpr char kBuild[] = "tsan";
#elif defined(__OPTIMIZE__)
constexpr char kBuild[] = "optimized";
#else
constexpr char kBuild[] = "debug";
#endif

// The lines of /proc/cpuinfo that say what the processor is.
std::string Processor() {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    for (const char* key : {"vendor_id", "cpu family", "model", "stepping", "cache size",
                            "CPU implementer", "CPU part", "CPU variant"}) {
      if (absl::StartsWith(line, key)) lines.insert(line);
    }
  }
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, line, "\n");
  return text;
}

// Whatever decides how long a kernel takes.
std::string SignatureOf(const BackendInfo& info) {
  std::string text = absl::StrCat(Processor(), "topiary ", kVersion, " ", kBuild, "\nbackend ",
                                  info.name, " ", info.isa, "\nthreads ", info.threads,
                                  "\nprecision ", PrecisionName(info.precision), "\n");
  for (const auto& [name, version] : info.versions)
    absl::StrAppend(&text, name, " ", version, "\n");
  return text;
}

Json ToJson(const LayerCost& cost) {
  Json sparse = Json::array();
  for (const LayerCost::Point& point : cost.sparse) {
    sparse.push_back({{"density", point.density}, {"seconds", point.seconds}});
  }
  return {{"dense_seconds", cost.dense_seconds}, {"sparse", sparse}};
}

std::optional<double> Positive(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return value > 0 ? std::optional<double>(value) : std::nullopt;
}

// None where `json` is not what ToJson() writes.
std::optional<LayerCost> CostOf(const Json& json) {
  if (!json.is_object() || !json.contains("sparse") || !json["sparse"].is_array()) {
    return std::nullopt;
  }
  const std::optional<double> dense = Positive(json, "dense_seconds");
  if (!dense.has_value()) return std::nullopt;
  LayerCost cost;
  cost.dense_seconds = *dense;
  for (const Json& point : json["sparse"]) {
    if (!point.is_object()) return std::nullopt;
    const std::optional<double> density = Positive(point, "density");
    const std::optional<double> seconds = Positive(point, "seconds");
    if (!density.has_value() || !seconds.has_value()) return std::nullopt;
    if (!cost.sparse.empty() && *density <= cost.sparse.back().density) return std::nullopt;
    cost.sparse.push_back({*density, *seconds});
  }
  return cost;
}

// A table in a file, held against other processes.
class TableFile {
 public:
  // Waits while another process has it.
  static absl::StatusOr<TableFile> Open(const std::string& folder, const std::string& signature,
                                        const CostCheck& check) {
    RETURN_IF_ERROR(CreateFolders(folder));
    const std::string path = absl::StrCat(folder, "/", Sha256Hex(signature).substr(0, 16), ".json");
    while (true) {
      absl::StatusOr<FileLock> lock = FileLock::Acquire(path + ".lock");
      if (lock.ok()) return TableFile(path, signature, *std::move(lock));
      if (!absl::IsFailedPrecondition(lock.status())) return lock.status();
      RETURN_IF_ERROR(check());
      std::this_thread::sleep_for(kPause);
    }
  }

  // Empty where there is none yet, or what is there is no such table: it is written anew then.
  CostTable Read() const {
    CostTable table;
    const absl::StatusOr<std::string> text = ReadFile(path_, kMostBytes);
    if (!text.ok()) {
      if (!absl::IsNotFound(text.status())) {
        LogWarning("layer costs are measured anew", {{"error", text.status().ToString()}});
      }
      return table;
    }
    const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || json.value("format", Json()) != kFormat ||
        json.value("machine", Json()) != signature_ || !json.contains("costs")) {
      LogWarning("layer costs are measured anew", {{"unreadable", path_}});
      return table;
    }
    for (const auto& [key, value] : json["costs"].items()) {
      if (std::optional<LayerCost> cost = CostOf(value)) table[key] = *std::move(cost);
    }
    return table;
  }

  absl::Status Write(const CostTable& table) const {
    Json costs = Json::object();
    for (const auto& [key, cost] : table) {
      if (cost.dense_seconds > 0) costs[key] = ToJson(cost);
    }
    const Json json = {{"format", kFormat}, {"machine", signature_}, {"costs", costs}};
    return WriteFileAtomically(path_, json.dump(1, ' ', false, Json::error_handler_t::replace));
  }

 private:
  TableFile(std::string path, std::string signature, FileLock lock)
      : path_(std::move(path)), signature_(std::move(signature)), lock_(std::move(lock)) {}

  std::string path_;
  std::string signature_;
  FileLock lock_;
};

class MeasuredLayerCosts final : public LayerCostSource {
 public:
  explicit MeasuredLayerCosts(std::string folder) : folder_(std::move(folder)) {}

  absl::StatusOr<std::vector<LayerCost>> Costs(absl::Span<const LayerWork> work, Backend* backend,
                                               const CostCheck& check) override {
    const std::string signature = SignatureOf(backend->info());
    CostTable known;
    while (!TakeTurn(signature, work, &known)) {
      RETURN_IF_ERROR(check());
      std::this_thread::sleep_for(kPause);
    }
    if (!HasAll(known, work)) {
      // Whatever happens, others must not wait for it.
      const absl::Cleanup end = [&] { EndTurn(signature, known); };
      RETURN_IF_ERROR(Complete(work, signature, backend, check, &known));
    }
    std::vector<LayerCost> costs;
    for (const LayerWork& w : work) costs.push_back(known.at(w.Key()));
    return costs;
  }

 private:
  // Whether `known`, which is what has been found so far, has all of `work`, or the caller is the
  // one to measure the rest, and to call EndTurn(): two at a time would disturb one another.
  bool TakeTurn(const std::string& signature, absl::Span<const LayerWork> work, CostTable* known) {
    MutexLock lock(&mutex_);
    *known = tables_[signature];
    if (HasAll(*known, work)) return true;
    return !std::exchange(measuring_, true);
  }

  void EndTurn(const std::string& signature, const CostTable& known) {
    MutexLock lock(&mutex_);
    tables_[signature] = known;
    measuring_ = false;
  }

  static bool HasAll(const CostTable& table, absl::Span<const LayerWork> work) {
    return std::all_of(work.begin(), work.end(),
                       [&](const LayerWork& w) { return table.count(w.Key()) > 0; });
  }

  // What others have measured since comes first: everyone is to decide alike.
  absl::Status Complete(absl::Span<const LayerWork> work, const std::string& signature,
                        Backend* backend, const CostCheck& check, CostTable* table) const {
    if (folder_.empty()) return MeasureMissing(work, backend, check, table);
    absl::StatusOr<TableFile> file = TableFile::Open(folder_, signature, check);
    if (!file.ok()) {
      RETURN_IF_ERROR(check());
      LogWarning("layer costs are not kept", {{"error", file.status().ToString()}});
      return MeasureMissing(work, backend, check, table);
    }
    for (auto& [key, cost] : file->Read()) table->insert_or_assign(key, std::move(cost));
    if (HasAll(*table, work)) return absl::OkStatus();
    const absl::Status measured = MeasureMissing(work, backend, check, table);
    const absl::Status written = file->Write(*table);
    if (!written.ok()) LogWarning("layer costs are not kept", {{"error", written.ToString()}});
    return measured;
  }

  static absl::Status MeasureMissing(absl::Span<const LayerWork> work, Backend* backend,
                                     const CostCheck& check, CostTable* table) {
    for (const LayerWork& w : work) {
      const std::string key = w.Key();
      if (table->count(key) > 0) continue;
      absl::StatusOr<LayerCost> cost = MeasureLayerCost(w, backend, check);
      RETURN_IF_ERROR(check());
      if (!cost.ok()) {
        // The job can do without: the layer is taken for one that pruning makes no faster.
        LogWarning("a layer's cost is not known",
                   {{"layer", key}, {"error", cost.status().ToString()}});
        cost = LayerCost();
      }
      table->emplace(key, *std::move(cost));
    }
    return absl::OkStatus();
  }

  const std::string folder_;
  Mutex mutex_;
  bool measuring_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, CostTable> tables_ ABSL_GUARDED_BY(mutex_);  // By signature.
};

}  // namespace

std::unique_ptr<LayerCostSource> NewMeasuredLayerCosts(std::string folder) {
  return std::make_unique<MeasuredLayerCosts>(std::move(folder));
}

}  // namespace topiary
