#ifndef TOPIARY_COMMON_LOGGING_H_
#define TOPIARY_COMMON_LOGGING_H_

#include <initializer_list>
#include <string>
#include <type_traits>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

// The log: one line for each event, to standard error, as text or as JSON. An event is a constant
// message plus named fields; do not build sentences out of values.
//   LogInfo("attempt leased", {{"job", job_id}, {"attempt", number}, {"worker", worker_id}});
// Never log contents of artifacts, credentials, or anything once per training step.
// All functions are thread-safe.

namespace topiary {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// "debug", "info", "warning", "error"; INVALID_ARGUMENT lists them.
absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name);
// "text", "json"; INVALID_ARGUMENT lists them.
absl::StatusOr<LogFormat> ParseLogFormat(absl::string_view name);

struct LogOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;  // Events below it are dropped.
};

// Sets format and level. Without it the defaults hold. Once, at the start of main().
void LogInit(const LogOptions& options);

// A name and a value. Names are lower case, with underscores.
struct LogField {
  LogField(absl::string_view name, absl::string_view value) : name(name), value(value) {}
  LogField(absl::string_view name, const char* value) : name(name), value(value) {}
  LogField(absl::string_view name, const std::string& value) : name(name), value(value) {}
  template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
  LogField(absl::string_view name, T number) : name(name), is_literal(true) {
    if constexpr (std::is_same_v<T, bool>) {
      value = number ? "true" : "false";
    } else {
      value = absl::StrCat(number);
    }
  }

  std::string name;
  std::string value;
  bool is_literal = false;  // A number or a truth value: not quoted in JSON.
};

using LogFields = std::initializer_list<LogField>;

void Log(LogLevel level, absl::string_view message, LogFields fields = {});

// While it lives, every event that its thread logs has these fields, before its own; so that code
// which knows nothing of jobs and workers is still heard under their names. Scopes nest, the outer
// fields first; a scope is destroyed by the thread that made it, the innermost first.
class ScopedLogFields {
 public:
  explicit ScopedLogFields(LogFields fields);
  ~ScopedLogFields();
  ScopedLogFields(const ScopedLogFields&) = delete;
  ScopedLogFields& operator=(const ScopedLogFields&) = delete;
};

inline void LogInfo(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kInfo, message, fields);
}
inline void LogWarning(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kWarning, message, fields);
}
inline void LogError(absl::string_view message, LogFields fields = {}) {
  Log(LogLevel::kError, message, fields);
}

// One line of the log without its end, as Log() writes it. Control characters and invalid UTF-8 in
// values are escaped, so that an event is always one line and JSON stays valid.
std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level,
                          absl::string_view message, absl::Span<const LogField> fields);

}  // namespace topiary

#endif  // TOPIARY_COMMON_LOGGING_H_
