#ifndef TOPIARY_COMMON_STATUS_MATCHERS_H_
#define TOPIARY_COMMON_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/status_macros.h"

// Matchers for absl::Status and absl::StatusOr<T>; for tests only.
//   EXPECT_THAT(store.Get("x"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("x")));
//   EXPECT_THAT(Parse("7"), IsOkAndHolds(7));
//   ASSERT_OK_AND_ASSIGN(Job job, store.Get("y"));

namespace topiary {
namespace internal {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

}  // namespace internal

// Matches a Status or StatusOr that is OK.
MATCHER(IsOk, negation ? "is an error" : "is OK") {
  *result_listener << internal::StatusOf(arg).ToString();
  return internal::StatusOf(arg).ok();
}

// Matches a StatusOr that is OK and whose value matches `value_matcher` (a matcher or a value).
MATCHER_P(IsOkAndHolds, value_matcher, "is OK and holds what was asked for") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  using Value = std::decay_t<decltype(*arg)>;
  return testing::ExplainMatchResult(testing::SafeMatcherCast<const Value&>(value_matcher), *arg,
                                     result_listener);
}

// Matches a Status or StatusOr by its code and, with two arguments, by its message.
MATCHER_P2(StatusIs, code, message_matcher,
           "has code " + absl::StatusCodeToString(code) + " and the message asked for") {
  const absl::Status& status = internal::StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         testing::ExplainMatchResult(message_matcher, std::string(status.message()),
                                     result_listener);
}
inline auto StatusIs(absl::StatusCode code) { return StatusIs(code, testing::_); }

}  // namespace topiary

#define EXPECT_OK(...) EXPECT_THAT((__VA_ARGS__), ::topiary::IsOk())
#define ASSERT_OK(...) ASSERT_THAT((__VA_ARGS__), ::topiary::IsOk())

// Assigns the value of an OK StatusOr to `lhs`; fails and leaves the test function otherwise.
#define ASSERT_OK_AND_ASSIGN(lhs, ...) \
  TOPIARY_ASSERT_OK_AND_ASSIGN_(TOPIARY_CONCAT_(topiary_status_or_, __LINE__), lhs, __VA_ARGS__)

#define TOPIARY_ASSERT_OK_AND_ASSIGN_(temporary, lhs, ...) \
  auto temporary = (__VA_ARGS__);                          \
  ASSERT_TRUE(temporary.ok()) << temporary.status();       \
  lhs = std::move(temporary).value()

#endif  // TOPIARY_COMMON_STATUS_MATCHERS_H_
