#ifndef TOPIARY_SERVER_API_FIELD_VIOLATIONS_H_
#define TOPIARY_SERVER_API_FIELD_VIOLATIONS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace topiary {

struct FieldViolation {
  std::string field;        // path from the request, as "spec.task.optimizer.sgd.momentum"
  std::string description;  // what is wrong and what would be right
};

// What is wrong with the fields of one request. Thread-compatible.
class FieldViolations {
 public:
  // At most so many are kept, of so many bytes in all: an answer must fit into the trailers of a
  // call.
  static constexpr int kMax = 16;
  static constexpr size_t kMaxBytes = 3000;

  void Add(absl::string_view field, absl::string_view description);

  // Adds a violation unless `ok`. Returns `ok`.
  bool Check(bool ok, absl::string_view field, absl::string_view description);

  bool empty() const { return violations_.empty(); }
  // All that were added, those that are not kept too: it tells whether a check has found something.
  size_t count() const { return violations_.size() + static_cast<size_t>(left_out_); }
  const std::vector<FieldViolation>& violations() const { return violations_; }

  // OK if there is none; otherwise INVALID_ARGUMENT, reason INVALID_REQUEST, with a
  // google.rpc.BadRequest that lists them and a message that has the first.
  absl::Status ToStatus() const;

 private:
  std::vector<FieldViolation> violations_;
  size_t bytes_ = 0;
  int left_out_ = 0;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_FIELD_VIOLATIONS_H_
