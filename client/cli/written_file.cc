#include "client/cli/written_file.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "client/local_file.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace topiary {

absl::Status ShowWrittenFile(const std::string& path, Session* session,
                             const nlohmann::json& more) {
  ASSIGN_OR_RETURN(const MappedFile file, LocalFileError(MappedFile::Open(path)));
  const absl::string_view bytes = file.bytes();
  if (session->terminal().json()) {
    nlohmann::json result = more;
    result["path"] = path;
    result["size_bytes"] = bytes.size();
    result["digest"] = Sha256Hex(bytes);
    session->terminal().Print(absl::StrCat(result.dump(), "\n"));
  } else {
    session->terminal().Note(
        absl::StrCat("wrote ", path, ", ", FormatBytes(static_cast<int64_t>(bytes.size()))));
  }
  return absl::OkStatus();
}

}  // namespace topiary
