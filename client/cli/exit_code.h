#ifndef TOPIARY_CLIENT_CLI_EXIT_CODE_H_
#define TOPIARY_CLIENT_CLI_EXIT_CODE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace topiary {

// What `topiary` exits with; part of its interface, documented in README.md beside this file.
enum class ExitCode : int {
  kOk = 0,
  kJobFailed = 1,      // The job that was waited for ended FAILED or CANCELLED.
  kUsage = 2,          // Wrong flags or arguments; nothing was sent.
  kUnreachable = 3,    // No answer from the server in time.
  kNotFound = 4,       // No such job, artifact or local file.
  kRefused = 5,        // The server refused: invalid, exhausted, conflicting or forbidden.
  kFailed = 6,         // Anything else: damaged data, disk full, a file in use, a bug.
  kInterrupted = 130,  // SIGINT or SIGTERM, as shells have it.
};

// The code for a call that ended with `status`. UNAVAILABLE and DEADLINE_EXCEEDED mean unreachable.
// A LocalFileError() (client/local_file.h) is no answer of a server: kNotFound if the file is not
// there, kUsage if it is not what it should be, else kFailed.
ExitCode ExitCodeOf(const absl::Status& status);

// INVALID_ARGUMENT marked as a mistake in the command line itself, for which ExitCodeOf() gives
// kUsage; an INVALID_ARGUMENT of the server gives kRefused.
absl::Status UsageError(absl::string_view message);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_EXIT_CODE_H_
