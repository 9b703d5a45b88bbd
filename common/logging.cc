#include "common/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/utf8.h"

namespace topiary {
namespace {

std::atomic<LogFormat> log_format{LogFormat::kText};

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

// Never destroyed: threads may log while the process ends.
spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* created =
        new spdlog::logger("topiary", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_pattern("%v");
    created->set_level(spdlog::level::info);
    created->flush_on(spdlog::level::trace);
    return created;
  }();
  return *logger;
}

std::string Quoted(absl::string_view text) {
  std::string quoted = "\"";
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text[0]);
    size_t length = 1;
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += static_cast<char>(c);
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&quoted, "\\u%04x", c);
    } else if (c < 0x80) {
      quoted += static_cast<char>(c);
    } else if (const size_t sequence = Utf8SequenceLength(text)) {
      quoted.append(text.data(), sequence);
      length = sequence;
    } else {
      quoted += "\\ufffd";
    }
    text.remove_prefix(length);
  }
  return quoted += '"';
}

// Whether `text` can stand in a line of text without quotes.
bool IsPlain(absl::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7F) return false;
  }
  return true;
}

std::string JsonValue(const LogField& field) {
  // JSON has no literal for infinities and NaN.
  const bool finite =
      field.value.find("inf") == std::string::npos && field.value.find("nan") == std::string::npos;
  return field.is_literal && finite ? field.value : Quoted(field.value);
}

// Of the thread's scopes that live, the outermost first; and how many each of them added.
thread_local std::vector<LogField> scoped_fields;
thread_local std::vector<size_t> scope_sizes;

std::string Timestamp(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (name == LevelName(level)) return level;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("log level \"", name, "\" is none of debug, info, warning, error"));
}

absl::StatusOr<LogFormat> ParseLogFormat(absl::string_view name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  return absl::InvalidArgumentError(
      absl::StrCat("log format \"", name, "\" is none of text, json"));
}

void LogInit(const LogOptions& options) {
  log_format.store(options.format);
  Logger().set_level(SpdlogLevel(options.level));
}

void Log(LogLevel level, absl::string_view message, LogFields fields) {
  spdlog::logger& logger = Logger();
  if (!logger.should_log(SpdlogLevel(level))) return;
  std::vector<LogField> all = scoped_fields;
  all.insert(all.end(), fields.begin(), fields.end());
  const std::string line = FormatLogLine(log_format.load(), absl::Now(), level, message, all);
  logger.log(SpdlogLevel(level), spdlog::string_view_t(line.data(), line.size()));
}

ScopedLogFields::ScopedLogFields(LogFields fields) {
  scoped_fields.insert(scoped_fields.end(), fields.begin(), fields.end());
  scope_sizes.push_back(fields.size());
}

ScopedLogFields::~ScopedLogFields() {
  scoped_fields.erase(scoped_fields.end() - static_cast<int64_t>(scope_sizes.back()),
                      scoped_fields.end());
  scope_sizes.pop_back();
}

std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level,
                          absl::string_view message, absl::Span<const LogField> fields) {
  std::string line;
  if (format == LogFormat::kJson) {
    absl::StrAppend(&line, "{\"time\":\"", Timestamp(time), "\",\"level\":\"", LevelName(level),
                    "\",\"message\":", Quoted(message));
    for (const LogField& field : fields) {
      absl::StrAppend(&line, ",", Quoted(field.name), ":", JsonValue(field));
    }
    return line += '}';
  }
  const std::string quoted = Quoted(message);
  absl::StrAppend(&line, Timestamp(time), " ", absl::StrFormat("%-7s", LevelName(level)), " ",
                  absl::string_view(quoted).substr(1, quoted.size() - 2));
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.name, "=",
                    IsPlain(field.value) ? field.value : Quoted(field.value));
  }
  return line;
}

}  // namespace topiary
