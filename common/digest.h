#ifndef TOPIARY_COMMON_DIGEST_H_
#define TOPIARY_COMMON_DIGEST_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

// SHA-256 of a stream of bytes, in hexadecimal: 64 characters, lower case. This is how artifacts
// and requests are named. Thread-compatible.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(absl::string_view bytes);

  // The digest of everything so far. Does not finish: more may follow, and it may be called again.
  std::string HexDigest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string Sha256Hex(absl::string_view bytes);

// Whether `text` has the form of a digest of this header: 64 characters of [0-9a-f].
bool IsSha256Hex(absl::string_view text);

// Digest of the file's contents, read in pieces: memory stays flat.
// NOT_FOUND if there is no such file, UNAVAILABLE or another code of errno if it cannot be read.
absl::StatusOr<std::string> Sha256HexOfFile(const std::string& path);

}  // namespace topiary

#endif  // TOPIARY_COMMON_DIGEST_H_
