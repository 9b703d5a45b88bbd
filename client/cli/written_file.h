#ifndef TOPIARY_CLIENT_CLI_WRITTEN_FILE_H_
#define TOPIARY_CLIENT_CLI_WRITTEN_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "client/cli/session.h"
#include "nlohmann/json.hpp"

namespace topiary {

// Says that the command has made the file at `path`: a note with its size, or in JSON its path,
// size_bytes and digest (SHA-256), and the fields of `more`, an object. Errors are those of reading
// the file.
absl::Status ShowWrittenFile(const std::string& path, Session* session,
                             const nlohmann::json& more = nlohmann::json::object());

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_WRITTEN_FILE_H_
