#include "worker/prune/group_obs.h"

#include <algorithm>
#include <atomic>
#include <queue>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/prune/calibrated_method.h"
#include "worker/prune/cholesky.h"
#include "worker/prune/obs_column.h"

namespace topiary {
namespace {

// A column of blocks of one matrix.
struct Column {
  int64_t group = 0;
  int64_t index = 0;  // Among the columns of blocks of its matrix.
  std::vector<ObsRemoval> removals;
};

class LayerPruner {
 public:
  LayerPruner(const GroupObsOptions& options, const CalibratedLayer& layer)
      : options_(options),
        layer_(layer),
        partition_(*layer.partition),
        inputs_(layer.layer().rows),
        outputs_(layer.layer().cols),
        width_(partition_.block().cols),
        threads_(layer.backend->info().threads),
        support_(partition_.block_count(), 1) {}

  absl::StatusOr<Support> Run() {
    for (int64_t group = 0; group < layer_.layer().groups; ++group) {
      models_.push_back(ModelOf(layer_, group, options_.dampening));
      weights_.push_back(ReadOutputs(layer_.layer(), group, layer_.weight));
      ZeroDeadInputs(models_.back(), &weights_.back());
      RETURN_IF_ERROR(RemoveFrom(group));
    }
    Choose();
    RETURN_IF_ERROR(RefitAll());
    for (size_t group = 0; group < weights_.size(); ++group) {
      WriteOutputs(layer_.layer(), static_cast<int64_t>(group), weights_[group], layer_.weight);
    }
    partition_.ZeroPruned(support_, layer_.weight);
    return std::move(support_);
  }

 private:
  int64_t FirstOutput(const Column& column) const { return column.index * width_; }
  int64_t OutputsOf(const Column& column) const {
    return std::min(width_, outputs_ - FirstOutput(column));
  }
  absl::Span<double> WeightsOf(const Column& column) {
    return absl::MakeSpan(weights_[column.group])
        .subspan(FirstOutput(column) * inputs_, OutputsOf(column) * inputs_);
  }
  uint8_t& SupportOf(const Column& column, int64_t row) {
    return support_[(column.group * partition_.block_rows() + row) * partition_.block_cols() +
                    column.index];
  }

  // Calls body(thread, column, check) for columns_[begin ..], one for each thread at a time. Only
  // the caller's thread may ask the layer's check; those of the others tell what it said.
  template <typename Body>
  absl::Status ForEachColumn(size_t begin, const Body& body) {
    const std::thread::id caller = std::this_thread::get_id();
    std::atomic<bool> stops = false;
    absl::Status stopped;
    const WorkCheck check = [&] {
      if (std::this_thread::get_id() == caller && !stops) {
        stopped = layer_.check();
        stops = !stopped.ok();
      }
      return stops ? absl::CancelledError() : absl::OkStatus();
    };
    for (size_t first = begin; first < columns_.size(); first += threads_) {
      RETURN_IF_ERROR(layer_.check());
      std::vector<absl::Status> statuses(threads_);
      OnEachThread(layer_.backend, [&](int thread) {
        const size_t index = first + static_cast<size_t>(thread);
        if (index < columns_.size()) statuses[thread] = body(thread, columns_[index], check);
      });
      RETURN_IF_ERROR(stopped);
      for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
    }
    return absl::OkStatus();
  }

  // The removals of every column of matrix `group`, to the last.
  absl::Status RemoveFrom(int64_t group) {
    ASSIGN_OR_RETURN(const std::vector<double> inverse, InverseOf(layer_, models_[group]));
    const size_t first = columns_.size();
    for (int64_t index = 0; index < partition_.block_cols(); ++index) {
      columns_.push_back({group, index, {}});
    }
    std::vector<ObsColumn> workspaces;
    for (int64_t i = 0; i < std::min<int64_t>(threads_, partition_.block_cols()); ++i) {
      workspaces.emplace_back(inputs_, width_, partition_.block().rows);
    }
    const auto remove = [&](int thread, Column& column, const WorkCheck& check) -> absl::Status {
      ASSIGN_OR_RETURN(column.removals, workspaces[thread].RemoveAll(inverse, WeightsOf(column),
                                                                     OutputsOf(column), check));
      return absl::OkStatus();
    };
    return ForEachColumn(first, remove);
  }

  // Again and again the cheapest of the removals that come next in the columns; equal costs go to
  // the later column, so that the lower stays.
  void Choose() {
    using Next = std::tuple<double, int64_t, size_t>;  // Cost, -column, number of the removal.
    std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
    for (size_t i = 0; i < columns_.size(); ++i) {
      next.emplace(columns_[i].removals[0].cost, -static_cast<int64_t>(i), 0);
    }
    for (int64_t left = partition_.block_count(); left > layer_.kept_blocks(); --left) {
      const auto [cost, minus_column, number] = next.top();
      next.pop();
      Column& column = columns_[-minus_column];
      SupportOf(column, column.removals[number].row) = 0;
      if (number + 1 == column.removals.size()) continue;
      next.emplace(column.removals[number + 1].cost, minus_column, number + 1);
    }
  }

  // Of one thread, for column after column.
  struct Workspace {
    std::vector<double> h, right;
    std::vector<int64_t> kept, gone;
  };

  absl::Status RefitAll() {
    std::vector<Workspace> workspaces(std::min<size_t>(threads_, columns_.size()));
    for (Workspace& workspace : workspaces) {
      workspace.h.reserve(inputs_ * inputs_);
      workspace.right.reserve(inputs_ * width_);
    }
    return ForEachColumn(0, [&](int thread, Column& column, const WorkCheck& check) {
      return Refit(column, check, &workspaces[thread]);
    });
  }

  // W_F + (H_FF)^-1 H_FR W_R of a column, F the inputs kept and R those gone. FAILED_PRECONDITION
  // where H_FF has no inverse.
  absl::Status Refit(const Column& column, const WorkCheck& check, Workspace* workspace) {
    std::vector<int64_t>* const kept = &workspace->kept;
    std::vector<int64_t>* const gone = &workspace->gone;
    std::vector<double>* const h = &workspace->h;
    std::vector<double>* const right = &workspace->right;
    kept->clear();
    gone->clear();
    for (int64_t i = 0; i < inputs_; ++i) {
      (SupportOf(column, i / partition_.block().rows) != 0 ? kept : gone)->push_back(i);
    }
    if (kept->empty() || gone->empty()) return absl::OkStatus();
    const auto size = static_cast<int64_t>(kept->size());
    const int64_t outputs = OutputsOf(column);
    const absl::Span<double> weights = WeightsOf(column);
    const std::vector<double>& whole = models_[column.group].h;
    h->resize(size * size);
    right->resize(size * outputs);
    for (int64_t i = 0; i < size; ++i) {
      RETURN_IF_ERROR(check());
      const double* const of_h = &whole[(*kept)[i] * inputs_];
      for (int64_t j = 0; j <= i; ++j) (*h)[i * size + j] = of_h[(*kept)[j]];
      for (int64_t c = 0; c < outputs; ++c) {
        double sum = 0;
        for (const int64_t k : *gone) sum += of_h[k] * weights[c * inputs_ + k];
        (*right)[i * outputs + c] = sum;
      }
    }
    ASSIGN_OR_RETURN(const bool solved, SolveCholesky(size, outputs, check, h, right));
    if (!solved) {
      return absl::FailedPreconditionError(
          absl::StrCat("layer '", layer_.layer().weight,
                       "': the inputs of the calibration examples leave the weights open: raise "
                       "dampening, or calibration_examples"));
    }
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t c = 0; c < outputs; ++c) {
        weights[c * inputs_ + (*kept)[i]] += (*right)[i * outputs + c];
      }
    }
    return absl::OkStatus();
  }

  const GroupObsOptions& options_;
  const CalibratedLayer& layer_;
  const BlockPartition& partition_;
  const int64_t inputs_;
  const int64_t outputs_;
  const int64_t width_;
  const int threads_;
  std::vector<QuadraticModel> models_;        // Of each matrix,
  std::vector<std::vector<double>> weights_;  // and its weights, [outputs][inputs].
  std::vector<Column> columns_;
  Support support_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Method>> NewGroupObs(const GroupObsOptions&,
                                                    const PruningTarget& target,
                                                    std::vector<MethodLayer> layers,
                                                    int64_t total_steps) {
  if (target.n_of_m.has_value()) {
    return absl::InvalidArgumentError("target.n_of_m: group_obs removes blocks in any order");
  }
  return NewCalibratedMethod("group_obs", target, std::move(layers), total_steps);
}

absl::StatusOr<Support> PruneCalibrated(const GroupObsOptions& options,
                                        const CalibratedLayer& layer) {
  return LayerPruner(options, layer).Run();
}

}  // namespace topiary
