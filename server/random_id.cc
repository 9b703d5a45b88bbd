#include "server/random_id.h"

#include <sys/random.h>

#include <cerrno>
#include <vector>

#include "common/check.h"

namespace topiary {

std::string RandomId(int letters) {
  std::vector<unsigned char> bytes(letters);
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = getrandom(bytes.data() + filled, bytes.size() - filled, 0);
    CHECK(got > 0 || errno == EINTR) << "getrandom failed";
    if (got > 0) filled += static_cast<size_t>(got);
  }
  std::string id;
  for (const unsigned char byte : bytes) id += "abcdefghijklmnopqrstuvwxyz234567"[byte % 32];
  return id;
}

}  // namespace topiary
