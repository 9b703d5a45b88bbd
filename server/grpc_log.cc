#include "server/grpc_log.h"

#include <grpc/support/log.h>

#include "common/logging.h"

namespace topiary {
namespace {

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_DEBUG:
      return LogLevel::kDebug;
    case GPR_LOG_SEVERITY_INFO:
      return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_ERROR:
      return LogLevel::kError;
  }
  return LogLevel::kError;
}

void WriteToOurLog(gpr_log_func_args* entry) {
  Log(LevelOf(entry->severity), "grpc",
      {{"text", entry->message}, {"file", entry->file}, {"line", entry->line}});
}

}  // namespace

void SendGrpcLogToOurs() { gpr_set_log_function(WriteToOurLog); }

}  // namespace topiary
