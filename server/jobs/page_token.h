#ifndef TOPIARY_SERVER_JOBS_PAGE_TOKEN_H_
#define TOPIARY_SERVER_JOBS_PAGE_TOKEN_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace topiary {

// Where a page of a newest-first list ended: the next one goes on after it.
struct PageCursor {
  absl::Time create_time = absl::InfiniteFuture();
  std::string id;  // "" and InfiniteFuture: the list begins
};

// The largest page a store returns.
inline constexpr int kMaxPageSize = 1000;

// Writes a cursor as an opaque token. `query` is what else selects the list, in any stable
// spelling; the token is good for that query only.
std::string EncodePageToken(const PageCursor& cursor, absl::string_view query);

// Reads a token; "" is the beginning. INVALID_ARGUMENT if it is malformed or another query's.
absl::StatusOr<PageCursor> DecodePageToken(absl::string_view token, absl::string_view query);

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_PAGE_TOKEN_H_
