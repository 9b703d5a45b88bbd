#ifndef TOPIARY_COMMON_STATUS_MACROS_H_
#define TOPIARY_COMMON_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function if `expr`, an absl::Status, is an error.
//   RETURN_IF_ERROR(store->Delete(name));
#define RETURN_IF_ERROR(...)                           \
  do {                                                 \
    ::absl::Status topiary_status_ = (__VA_ARGS__);    \
    if (!topiary_status_.ok()) return topiary_status_; \
  } while (false)

// Assigns the value of an absl::StatusOr to `lhs`, or returns its error from the calling function.
// `lhs` may declare a variable; it must hold no comma outside parentheses.
//   ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
#define ASSIGN_OR_RETURN(lhs, ...) \
  TOPIARY_ASSIGN_OR_RETURN_(TOPIARY_CONCAT_(topiary_status_or_, __LINE__), lhs, __VA_ARGS__)

#define TOPIARY_ASSIGN_OR_RETURN_(temporary, lhs, ...)       \
  auto temporary = (__VA_ARGS__);                            \
  if (!temporary.ok()) return std::move(temporary).status(); \
  lhs = std::move(temporary).value()

#define TOPIARY_CONCAT_(a, b) TOPIARY_CONCAT_INNER_(a, b)
#define TOPIARY_CONCAT_INNER_(a, b) a##b

#endif  // TOPIARY_COMMON_STATUS_MACROS_H_
