#include "worker/engine/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/check.h"

namespace topiary {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kSmallestProbability = 1e-15;

double Clamped(double probability) {
  return std::min(std::max(probability, kSmallestProbability), 1 - kSmallestProbability);
}

// The class of `row`; for targets, whether the only column is at least 0.5.
int64_t ClassOf(const Predictions& p, int64_t row) {
  if (p.labels != nullptr) return p.labels[row];
  if (p.columns == 1) return p.targets[row] >= 0.5f ? 1 : 0;
  const float* targets = p.targets + row * p.columns;
  return std::max_element(targets, targets + p.columns) - targets;
}

// An output of a binary column as a number that grows with the probability, and its threshold.
double BinaryThreshold(OutputKind kind) {
  if (kind == OutputKind::kProbabilities || kind == OutputKind::kValues) return 0.5;
  return kind == OutputKind::kLogProbabilities ? std::log(0.5) : 0.0;
}

double BinaryProbability(OutputKind kind, double output) {
  if (kind == OutputKind::kLogits) return 1 / (1 + std::exp(-output));
  return kind == OutputKind::kLogProbabilities ? std::exp(output) : output;
}

// -t log p - (1 - t) log(1 - p).
double BinaryLogLoss(OutputKind kind, double output, double target) {
  if (kind == OutputKind::kLogits) {  // Does not overflow, nor lose digits.
    return std::max(output, 0.0) - output * target + std::log1p(std::exp(-std::abs(output)));
  }
  const double probability = Clamped(BinaryProbability(kind, output));
  return -target * std::log(probability) - (1 - target) * std::log(1 - probability);
}

double ClassLogLoss(OutputKind kind, const float* outputs, int64_t columns, int64_t label) {
  if (kind == OutputKind::kLogProbabilities) return -outputs[label];
  if (kind != OutputKind::kLogits) return -std::log(Clamped(outputs[label]));
  const double largest = *std::max_element(outputs, outputs + columns);
  double sum = 0;
  for (int64_t c = 0; c < columns; ++c) sum += std::exp(outputs[c] - largest);
  return std::log(sum) + largest - outputs[label];
}

// A mean of terms over rows or elements.
class MeanMetric : public Metric {
 public:
  double Value() const override { return count_ == 0 ? kNaN : sum_ / static_cast<double>(count_); }
  void Reset() override {
    sum_ = 0;
    count_ = 0;
  }

 protected:
  void AddTerm(double term) {
    sum_ += term;
    ++count_;
  }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

// Fraction of rows with fewer than `rank` outputs before the label's: larger ones, or equal ones in
// an earlier column.
class TopAccuracy : public MeanMetric {
 public:
  TopAccuracy(absl::string_view name, int rank) : name_(name), rank_(rank) {}
  absl::string_view name() const override { return name_; }

  void Add(const Predictions& p) override {
    for (int64_t row = 0; row < p.rows; ++row) {
      const float* outputs = p.outputs + row * p.columns;
      AddTerm(p.columns == 1 ? BinaryHit(p, row) : Hit(outputs, p.columns, ClassOf(p, row)));
    }
  }

 private:
  static double BinaryHit(const Predictions& p, int64_t row) {
    const bool positive = p.outputs[row] >= BinaryThreshold(p.kind);
    return positive == (ClassOf(p, row) == 1) ? 1 : 0;
  }
  double Hit(const float* outputs, int64_t columns, int64_t label) const {
    if (std::isnan(outputs[label])) return 0;
    int before = 0;
    for (int64_t c = 0; c < columns && before < rank_; ++c) {
      const bool tie = outputs[c] == outputs[label] && c < label;
      if (outputs[c] > outputs[label] || tie || std::isnan(outputs[c])) ++before;
    }
    return before < rank_ ? 1 : 0;
  }

  const absl::string_view name_;
  const int rank_;
};

class LogLoss : public MeanMetric {
 public:
  absl::string_view name() const override { return "log_loss"; }
  void Add(const Predictions& p) override {
    for (int64_t row = 0; row < p.rows; ++row) {
      const float* outputs = p.outputs + row * p.columns;
      if (p.labels != nullptr && p.columns > 1) {
        AddTerm(ClassLogLoss(p.kind, outputs, p.columns, p.labels[row]));
        continue;
      }
      for (int64_t c = 0; c < p.columns; ++c) {
        const double target = p.labels != nullptr ? static_cast<double>(p.labels[row])
                                                  : p.targets[row * p.columns + c];
        AddTerm(BinaryLogLoss(p.kind, outputs[c], target));
      }
    }
  }
};

class AreaUnderCurve : public Metric {
 public:
  absl::string_view name() const override { return "auc"; }
  void Add(const Predictions& p) override {
    for (int64_t row = 0; row < p.rows; ++row) {
      const float* outputs = p.outputs + row * p.columns;
      // Of two columns, what one exceeds the other by orders the rows as the probability does.
      const bool difference = p.columns == 2 && p.kind == OutputKind::kLogits;
      scores_.push_back(difference ? outputs[1] - outputs[0] : outputs[p.columns - 1]);
      positive_.push_back(ClassOf(p, row) == 1);
    }
  }

  // The probability that a positive row scores above a negative one (Mann-Whitney): over groups of
  // equal scores, in ascending order, positives x (negatives below + half of those equal).
  double Value() const override {
    std::vector<size_t> order(scores_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (std::any_of(scores_.begin(), scores_.end(), [](float s) { return std::isnan(s); })) {
      return kNaN;
    }
    std::sort(order.begin(), order.end(),
              [this](size_t a, size_t b) { return scores_[a] < scores_[b]; });
    double negatives = 0, positives = 0, wins = 0;
    for (size_t i = 0; i < order.size();) {
      double group_negatives = 0, group_positives = 0;
      const float score = scores_[order[i]];
      for (; i < order.size() && scores_[order[i]] == score; ++i) {
        (positive_[order[i]] ? group_positives : group_negatives) += 1;
      }
      wins += group_positives * (negatives + group_negatives / 2);
      negatives += group_negatives;
      positives += group_positives;
    }
    return negatives == 0 || positives == 0 ? kNaN : wins / (negatives * positives);
  }

  void Reset() override {
    scores_.clear();
    positive_.clear();
  }

 private:
  std::vector<float> scores_;
  std::vector<bool> positive_;
};

double TargetOf(const Predictions& p, int64_t row, int64_t column) {
  if (p.targets != nullptr) return p.targets[row * p.columns + column];
  return p.columns == 1 ? static_cast<double>(p.labels[row]) : (p.labels[row] == column ? 1 : 0);
}

class SquaredError : public MeanMetric {
 public:
  absl::string_view name() const override { return "mse"; }
  void Add(const Predictions& p) override {
    for (int64_t row = 0; row < p.rows; ++row) {
      for (int64_t c = 0; c < p.columns; ++c) {
        const double error = p.outputs[row * p.columns + c] - TargetOf(p, row, c);
        AddTerm(error * error);
      }
    }
  }
};

class RSquared : public Metric {
 public:
  absl::string_view name() const override { return "r2"; }

  void Add(const Predictions& p) override {
    if (columns_.empty()) columns_.resize(p.columns);
    CHECK_EQ(columns_.size(), static_cast<size_t>(p.columns));
    for (int64_t row = 0; row < p.rows; ++row) {
      for (int64_t c = 0; c < p.columns; ++c) {
        columns_[c].Add(p.outputs[row * p.columns + c], TargetOf(p, row, c));
      }
    }
  }

  double Value() const override {
    double sum = 0;
    for (const Column& column : columns_) {
      if (column.total == 0) return kNaN;
      sum += 1 - column.residual / column.total;
    }
    return columns_.empty() ? kNaN : sum / static_cast<double>(columns_.size());
  }
  void Reset() override { columns_.clear(); }

 private:
  // Welford's update of the total sum of squares.
  struct Column {
    void Add(double output, double target) {
      residual += (output - target) * (output - target);
      count += 1;
      const double deviation = target - mean;
      mean += deviation / count;
      total += deviation * (target - mean);
    }
    double count = 0;
    double mean = 0;
    double total = 0;
    double residual = 0;
  };
  std::vector<Column> columns_;
};

}  // namespace

const std::vector<std::string>& MetricNames() {
  static const auto* const names =
      new std::vector<std::string>{"accuracy", "top_5", "log_loss", "auc", "mse", "r2"};
  return *names;
}

absl::StatusOr<std::unique_ptr<Metric>> NewMetric(absl::string_view name) {
  if (name == "accuracy") return std::make_unique<TopAccuracy>("accuracy", 1);
  if (name == "top_5") return std::make_unique<TopAccuracy>("top_5", 5);
  if (name == "log_loss") return std::make_unique<LogLoss>();
  if (name == "auc") return std::make_unique<AreaUnderCurve>();
  if (name == "mse") return std::make_unique<SquaredError>();
  if (name == "r2") return std::make_unique<RSquared>();
  return absl::InvalidArgumentError(absl::StrCat("no metric is called '", std::string(name),
                                                 "'; there are ",
                                                 absl::StrJoin(MetricNames(), ", ")));
}

}  // namespace topiary
