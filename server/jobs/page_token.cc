#include "server/jobs/page_token.h"

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/digest.h"

namespace topiary {
namespace {

std::string Fingerprint(absl::string_view query) { return Sha256Hex(query).substr(0, 16); }

}  // namespace

std::string EncodePageToken(const PageCursor& cursor, absl::string_view query) {
  return absl::WebSafeBase64Escape(absl::StrCat(
      Fingerprint(query), ":", absl::ToUnixMicros(cursor.create_time), ":", cursor.id));
}

absl::StatusOr<PageCursor> DecodePageToken(absl::string_view token, absl::string_view query) {
  if (token.empty()) return PageCursor();
  std::string text;
  const absl::Status malformed = absl::InvalidArgumentError(
      "page_token is not one that an answer to the same request gave; leave it empty to begin "
      "anew");
  if (!absl::WebSafeBase64Unescape(token, &text)) return malformed;
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 2));
  int64_t micros = 0;
  if (parts.size() != 3 || parts[0] != Fingerprint(query) || !absl::SimpleAtoi(parts[1], &micros) ||
      parts[2].empty()) {
    return malformed;
  }
  return PageCursor{absl::FromUnixMicros(micros), parts[2]};
}

}  // namespace topiary
