// A process that uploads is killed with SIGKILL in the middle: what it acknowledged must be there,
// and every blob that has a name must have the bytes of that name.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/digest.h"
#include "common/status_matchers.h"
#include "server/artifacts/local_artifact_store.h"
#include "server/jobs/run_and_kill.h"

namespace topiary {
namespace {

constexpr char kWriter[] = "server/artifacts/local_crash_writer";

std::string ReadBlob(ArtifactStore* store, const std::string& digest) {
  const auto reader = store->Open(digest);
  EXPECT_OK(reader);
  if (!reader.ok()) return "";
  std::string bytes(static_cast<size_t>((*reader)->size()), '\0');
  EXPECT_OK((*reader)->Read(0, absl::MakeSpan(&bytes[0], bytes.size())));
  return bytes;
}

TEST(LocalCrash, NothingAcknowledgedIsLostByASigkill) {
  const std::string root = absl::StrCat(testing::TempDir(), "/crash-", getpid());
  std::vector<std::string> committed;
  for (int round = 0; round < 5; ++round) {
    std::map<std::string, int64_t> appended;
    for (const std::string& line :
         RunAndKill({kWriter, root, absl::StrCat("r", round)}, 11 + 7 * round)) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (words[0] == "committed") {
        committed.push_back(words[1]);
      } else {
        ASSERT_TRUE(absl::SimpleAtoi(words[2], &appended[words[1]]));
      }
    }
    ASSERT_OK_AND_ASSIGN(const auto store, OpenLocalArtifactStore(root));
    for (const auto& [upload, offset] : appended) {
      ASSERT_OK_AND_ASSIGN(const int64_t stored, store->UploadOffset(upload));
      EXPECT_GE(stored, offset) << upload;
    }
    ASSERT_OK_AND_ASSIGN(const auto blobs, store->ListBlobs("", 10000));
    std::vector<std::string> listed;
    for (const BlobInfo& blob : blobs) {
      EXPECT_EQ(Sha256Hex(ReadBlob(store.get(), blob.digest)), blob.digest);
      listed.push_back(blob.digest);
    }
    EXPECT_THAT(listed, testing::IsSupersetOf(committed));
  }
}

}  // namespace
}  // namespace topiary
