#include "worker/engine/layer_cost.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "common/random.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr double kDensities[] = {0.05, 0.2, 0.5, 1.0};
// Of each product: so many runs at least, and more while the time is not up.
constexpr int kFewestRuns = 3;
constexpr int kMostRuns = 30;
constexpr std::chrono::milliseconds kTimeToMeasure(20);
constexpr double kGrid = 0.05;

// `density` of the blocks, drawn by chance, at least one.
absl::StatusOr<BlockSparsePattern> PatternAt(const LayerWork& work, double density) {
  const int64_t down = (work.rows - 1) / work.block_rows + 1;
  const int64_t across = (work.cols - 1) / work.block_cols + 1;
  std::vector<uint8_t> kept(work.groups * down * across, 0);
  const auto blocks = static_cast<int64_t>(kept.size());
  const int64_t count = std::max<int64_t>(1, std::llround(density * static_cast<double>(blocks)));
  const std::vector<uint32_t> order =
      Permutation(0, kStreamLayerCosts, 0, static_cast<uint32_t>(blocks));
  for (int64_t i = 0; i < count; ++i) kept[order[i]] = 1;
  return BlockSparsePattern::Create(work.rows, work.cols, work.block_rows, work.block_cols, kept,
                                    work.groups);
}

// Kernels that do one product in several ways, on the same memory.
class Contest {
 public:
  explicit Contest(Backend* backend) : backend_(backend) {}

  absl::Status Add(const OpDescription& op) {
    ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, backend_->Plan(op));
    kernels_.push_back(std::move(kernel));
    return absl::OkStatus();
  }

  // The shortest time of each kernel.
  absl::StatusOr<std::vector<double>> Run(const CostCheck& check) {
    RETURN_IF_ERROR(Allocate());
    std::vector<double> best(kernels_.size(), std::numeric_limits<double>::infinity());
    for (const std::unique_ptr<Kernel>& kernel : kernels_) {
      RETURN_IF_ERROR(check());
      kernel->Run();
    }
    const SteadyClock::time_point end = SteadyClock::now() + kTimeToMeasure;
    for (int run = 0; run < kMostRuns; ++run) {
      if (run >= kFewestRuns && SteadyClock::now() >= end) break;
      for (size_t i = 0; i < kernels_.size(); ++i) {
        RETURN_IF_ERROR(check());
        const SteadyClock::time_point began = SteadyClock::now();
        kernels_[i]->Run();
        const std::chrono::duration<double> took = SteadyClock::now() - began;
        // A clock may not see it.
        best[i] = std::min(best[i], std::max(took.count(), 1e-9));
      }
    }
    return best;
  }

 private:
  absl::Status Allocate() {
    std::vector<size_t> bytes;
    size_t scratch = 0;
    for (const std::unique_ptr<Kernel>& kernel : kernels_) {
      bytes.resize(kernel->operands().size());
      for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = std::max(bytes[i], kernel->operands()[i].bytes());
      }
      scratch = std::max(scratch, kernel->scratch_bytes());
    }
    std::vector<void*> pointers;
    for (const size_t size : bytes) {
      ASSIGN_OR_RETURN(Buffer buffer, backend_->Allocate(size));
      // Zeroed memory may be one page, read again and again; and numbers must be neither denormal
      // nor huge.
      if (backend_->host_accessible()) {
        std::fill_n(static_cast<float*>(buffer.data()), size / sizeof(float), 1.0F);
      }
      pointers.push_back(buffer.data());
      memory_.push_back(std::move(buffer));
    }
    ASSIGN_OR_RETURN(scratch_, backend_->Allocate(scratch));
    for (const std::unique_ptr<Kernel>& kernel : kernels_) {
      kernel->Bind(pointers, scratch_.data());
    }
    return absl::OkStatus();
  }

  Backend* const backend_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::vector<Buffer> memory_;
  Buffer scratch_;
};

}  // namespace

double LayerCost::SparseSeconds(double density) const {
  if (sparse.empty()) return std::numeric_limits<double>::infinity();
  if (sparse.size() == 1) return sparse[0].seconds;
  size_t after = 1;
  while (after + 1 < sparse.size() && sparse[after].density < density) ++after;
  const Point& a = sparse[after - 1];
  const Point& b = sparse[after];
  const double slope = (b.seconds - a.seconds) / (b.density - a.density);
  return std::max(0.0, a.seconds + slope * (density - a.density));
}

double LayerCost::Seconds(double density) const {
  return std::min(dense_seconds, SparseSeconds(density));
}

double LayerCost::BreakEvenDensity() const {
  if (sparse.empty() || sparse.front().seconds >= dense_seconds) return 0;
  const int steps = static_cast<int>(std::lround(1 / kGrid));
  int pays = 0;
  while (pays < steps && SparseSeconds((pays + 1) * kGrid) < dense_seconds) ++pays;
  return pays * kGrid;
}

absl::StatusOr<LayerCost> MeasureLayerCost(const LayerWork& work, Backend* backend,
                                           const CostCheck& check) {
  const std::vector<OpDescription> dense = ProductsOf(work, nullptr);
  std::vector<std::vector<OpDescription>> sparse;
  LayerCost cost;
  for (const double density : kDensities) {
    ASSIGN_OR_RETURN(BlockSparsePattern pattern, PatternAt(work, density));
    const double reached =
        static_cast<double>(pattern.kept_elements()) / static_cast<double>(pattern.elements());
    // Where there are few blocks, several densities may keep as many.
    if (!cost.sparse.empty() && reached <= cost.sparse.back().density) continue;
    cost.sparse.push_back({reached, 0});
    sparse.push_back(
        ProductsOf(work, std::make_shared<const BlockSparsePattern>(std::move(pattern))));
  }
  for (size_t i = 0; i < dense.size(); ++i) {
    Contest contest(backend);
    RETURN_IF_ERROR(contest.Add(dense[i]));
    for (const std::vector<OpDescription>& products : sparse) {
      const absl::Status status = contest.Add(products[i]);
      if (absl::IsUnimplemented(status)) {
        cost.sparse.clear();
        sparse.clear();
        break;
      }
      RETURN_IF_ERROR(status);
    }
    ASSIGN_OR_RETURN(const std::vector<double> seconds, contest.Run(check));
    cost.dense_seconds += seconds[0];
    for (size_t k = 0; k < cost.sparse.size(); ++k) cost.sparse[k].seconds += seconds[1 + k];
  }
  return cost;
}

}  // namespace topiary
