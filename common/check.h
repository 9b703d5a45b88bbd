#ifndef TOPIARY_COMMON_CHECK_H_
#define TOPIARY_COMMON_CHECK_H_

#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <type_traits>

#include "absl/status/status.h"

// CHECK(condition) << "more": ends the process with file, line and message if the condition is
// false, in every build. For bugs of this program only; what a client, a file or a peer can cause
// is an absl::Status. CHECK_EQ and its kin print both values and compare integers of different
// signs by value.

namespace topiary {
namespace internal {

// Prints what was streamed into it, and aborts, when it is destroyed.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const std::string& what);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Makes both sides of CHECK's conditional expression void; binds weaker than <<.
struct Voidify {
  void operator&&(std::ostream&) const {}
};

template <typename T, typename = void>
struct IsPrintable : std::false_type {};
template <typename T>
struct IsPrintable<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<T>())>>
    : std::true_type {};

template <typename T>
void PrintOperand(std::ostream& out, const T& value) {
  if constexpr (IsPrintable<const T&>::value) {
    out << value;
  } else if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else {
    out << "(no printer)";
  }
}

template <typename T>
constexpr bool IsInteger() {
  return std::is_integral_v<T> && !std::is_same_v<T, bool>;
}

// -1, 0 or 1 for a <, ==, > b, without the surprises of C++'s signed and unsigned.
template <typename A, typename B>
int CompareIntegers(A a, B b) {
  if constexpr (std::is_signed_v<A> && std::is_unsigned_v<B>) {
    if (a < 0) return -1;
    return CompareIntegers(static_cast<std::make_unsigned_t<A>>(a), b);
  } else if constexpr (std::is_unsigned_v<A> && std::is_signed_v<B>) {
    return -CompareIntegers(b, a);
  } else {
    return a < b ? -1 : (a == b ? 0 : 1);
  }
}

#define TOPIARY_DEFINE_CHECK_OP_(name, op)              \
  struct name {                                         \
    template <typename A, typename B>                   \
    static bool Holds(const A& a, const B& b) {         \
      if constexpr (IsInteger<A>() && IsInteger<B>()) { \
        return CompareIntegers(a, b) op 0;              \
      } else {                                          \
        return a op b;                                  \
      }                                                 \
    }                                                   \
  }
TOPIARY_DEFINE_CHECK_OP_(CheckEq, ==);
TOPIARY_DEFINE_CHECK_OP_(CheckNe, !=);
TOPIARY_DEFINE_CHECK_OP_(CheckLt, <);
TOPIARY_DEFINE_CHECK_OP_(CheckLe, <=);
TOPIARY_DEFINE_CHECK_OP_(CheckGt, >);
TOPIARY_DEFINE_CHECK_OP_(CheckGe, >=);
#undef TOPIARY_DEFINE_CHECK_OP_

// Null if `Op` holds, else what to print.
template <typename Op, typename A, typename B>
std::unique_ptr<std::string> CheckOperands(const A& a, const B& b, const char* text) {
  if (Op::Holds(a, b)) return nullptr;
  std::ostringstream out;
  out << text << " (";
  PrintOperand(out, a);
  out << " vs. ";
  PrintOperand(out, b);
  out << ")";
  return std::make_unique<std::string>(out.str());
}

}  // namespace internal
}  // namespace topiary

#define CHECK(condition)                          \
  (condition) ? static_cast<void>(0)              \
              : ::topiary::internal::Voidify() && \
                    ::topiary::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

#define TOPIARY_CHECK_OP_(name, op, a, b)                                                         \
  while (                                                                                         \
      const auto topiary_check_failure_ =                                                         \
          ::topiary::internal::CheckOperands<::topiary::internal::name>(a, b, #a " " #op " " #b)) \
  ::topiary::internal::CheckFailure(__FILE__, __LINE__, *topiary_check_failure_).stream()

#define CHECK_EQ(a, b) TOPIARY_CHECK_OP_(CheckEq, ==, a, b)
#define CHECK_NE(a, b) TOPIARY_CHECK_OP_(CheckNe, !=, a, b)
#define CHECK_LT(a, b) TOPIARY_CHECK_OP_(CheckLt, <, a, b)
#define CHECK_LE(a, b) TOPIARY_CHECK_OP_(CheckLe, <=, a, b)
#define CHECK_GT(a, b) TOPIARY_CHECK_OP_(CheckGt, >, a, b)
#define CHECK_GE(a, b) TOPIARY_CHECK_OP_(CheckGe, >=, a, b)

// Ends the process if `expr`, an absl::Status, is an error.
#define CHECK_OK(...)                                                                            \
  for (const ::absl::Status topiary_check_status_ = (__VA_ARGS__); !topiary_check_status_.ok();) \
  ::topiary::internal::CheckFailure(__FILE__, __LINE__, topiary_check_status_.ToString()).stream()

#endif  // TOPIARY_COMMON_CHECK_H_
