// Uploads blobs into the local store in the folder named by its argument until it is killed, and
// prints a line on standard output after each acknowledged step: "appended UPLOAD OFFSET",
// "committed DIGEST". For local_crash_test.

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "server/artifacts/local_artifact_store.h"

namespace topiary {
namespace {

constexpr int kChunks = 4;

void Acknowledge(const std::string& line) {
  const std::string text = line + "\n";
  CHECK_EQ(write(STDOUT_FILENO, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void UploadForever(ArtifactStore* store, const std::string& prefix) {
  for (int i = 0;; ++i) {
    const std::string upload = absl::StrCat(prefix, "-", i);
    CHECK_OK(store->CreateUpload(upload));
    std::string bytes;
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const std::string piece(10000, static_cast<char>('a' + (i + chunk) % 26));
      const int64_t offset = static_cast<int64_t>(bytes.size());
      CHECK_OK(store->AppendUpload(upload, offset, absl::StrCat(upload, piece)).status());
      absl::StrAppend(&bytes, upload, piece);
      Acknowledge(absl::StrCat("appended ", upload, " ", bytes.size()));
    }
    const std::string digest = Sha256Hex(bytes);
    CHECK_OK(store->CommitUpload(upload, digest, static_cast<int64_t>(bytes.size())));
    Acknowledge(absl::StrCat("committed ", digest));
  }
}

}  // namespace
}  // namespace topiary

int main(int argc, char** argv) {
  CHECK_EQ(argc, 3);
  auto store = topiary::OpenLocalArtifactStore(argv[1]);
  CHECK_OK(store.status());
  topiary::UploadForever(store->get(), argv[2]);
}
