#include "server/artifacts/artifact_store_conformance.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/status_matchers.h"
#include "server/jobs/status_reason.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ArtifactStoreConformance);

using testing::ElementsAre;
using testing::IsEmpty;

std::string ArtifactStoreConformance::Put(const std::string& upload, const std::string& bytes) {
  const std::string digest = Sha256Hex(bytes);
  EXPECT_OK(store_->CreateUpload(upload));
  EXPECT_OK(store_->AppendUpload(upload, 0, bytes));
  EXPECT_OK(store_->CommitUpload(upload, digest, static_cast<int64_t>(bytes.size())));
  EXPECT_OK(store_->AbandonUpload(upload));
  return digest;
}

absl::StatusOr<std::string> ArtifactStoreConformance::Get(const std::string& digest) {
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, store_->Open(digest));
  std::string bytes(static_cast<size_t>(reader->size()), '\0');
  ASSIGN_OR_RETURN(const size_t read, reader->Read(0, absl::MakeSpan(&bytes[0], bytes.size())));
  bytes.resize(read);
  return bytes;
}

TEST_P(ArtifactStoreConformance, AnUploadInPiecesBecomesABlob) {
  const std::string bytes("some\0bytes\xff and more", 20);
  const std::string digest = Sha256Hex(bytes);
  ASSERT_OK(store_->CreateUpload("u"));
  EXPECT_THAT(store_->AppendUpload("u", 0, bytes.substr(0, 7)), IsOkAndHolds(7));
  EXPECT_THAT(store_->Open(digest), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->AppendUpload("u", 7, bytes.substr(7)), IsOkAndHolds(20));
  ASSERT_OK(store_->CommitUpload("u", digest, 20));
  EXPECT_THAT(Get(digest), IsOkAndHolds(bytes));
}

TEST_P(ArtifactStoreConformance, AnEmptyBlobIsABlob) {
  const std::string digest = Put("u", "");
  EXPECT_THAT(Get(digest), IsOkAndHolds(""));
}

TEST_P(ArtifactStoreConformance, CreatingAgainKeepsWhatArrived) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  ASSERT_OK(store_->CreateUpload("u"));
  EXPECT_THAT(store_->UploadOffset("u"), IsOkAndHolds(3));
}

TEST_P(ArtifactStoreConformance, AWrongOffsetChangesNothingAndSaysTheRightOne) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  for (int64_t offset : {int64_t{0}, int64_t{2}, int64_t{4}, int64_t{-1}, int64_t{1} << 60}) {
    const auto refused = store_->AppendUpload("u", offset, "xyz");
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAborted)) << offset;
    EXPECT_EQ(ReasonOf(refused.status()), kReasonUploadOffset);
    EXPECT_EQ(MetadataOf(refused.status()).at("committedBytes"), "3");
  }
  EXPECT_THAT(store_->UploadOffset("u"), IsOkAndHolds(3));
}

TEST_P(ArtifactStoreConformance, AnIncompleteUploadIsNoBlobAndCanGoOn) {
  const std::string digest = Sha256Hex("abcdef");
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  const absl::Status refused = store_->CommitUpload("u", digest, 6);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(ReasonOf(refused), kReasonUploadIncomplete);
  EXPECT_EQ(MetadataOf(refused).at("committedBytes"), "3");
  ASSERT_OK(store_->AppendUpload("u", 3, "def"));
  EXPECT_OK(store_->CommitUpload("u", digest, 6));
}

TEST_P(ArtifactStoreConformance, BytesThatAreNotTheDigestsAreRefusedAndCanBeSentAgain) {
  const std::string digest = Sha256Hex("right");
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "wrong"));
  const absl::Status refused = store_->CommitUpload("u", digest, 5);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kDataLoss, testing::HasSubstr(digest)));
  EXPECT_EQ(ReasonOf(refused), kReasonDigestMismatch);
  EXPECT_THAT(store_->Open(digest), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->UploadOffset("u"), IsOkAndHolds(0));
  ASSERT_OK(store_->AppendUpload("u", 0, "right"));
  EXPECT_OK(store_->CommitUpload("u", digest, 5));
}

TEST_P(ArtifactStoreConformance, MoreBytesThanAnnouncedAreRefused) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abcdef"));
  EXPECT_THAT(store_->CommitUpload("u", Sha256Hex("abc"), 3),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(store_->UploadOffset("u"), IsOkAndHolds(0));
}

TEST_P(ArtifactStoreConformance, CommittingMayBeRepeatedUntilAbandoned) {
  const std::string digest = Sha256Hex("abc");
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  ASSERT_OK(store_->CommitUpload("u", digest, 3));
  EXPECT_OK(store_->CreateUpload("u"));
  EXPECT_THAT(store_->UploadOffset("u"), IsOkAndHolds(3));
  EXPECT_OK(store_->CommitUpload("u", digest, 3));
  ASSERT_OK(store_->AbandonUpload("u"));
  EXPECT_THAT(store_->CommitUpload("u", digest, 3), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Get(digest), IsOkAndHolds("abc"));
}

TEST_P(ArtifactStoreConformance, AnEmptyUploadCannotClaimABlobThatOthersStored) {
  const std::string digest = Put("owner", "secret");
  ASSERT_OK(store_->CreateUpload("thief"));
  EXPECT_THAT(store_->CommitUpload("thief", digest, 6),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(store_->CommitUpload("thief", digest, 0), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_P(ArtifactStoreConformance, UnknownUploadsAndBlobsAreNotFound) {
  const std::string digest = Sha256Hex("x");
  EXPECT_EQ(ReasonOf(store_->UploadOffset("u").status()), kReasonUploadNotFound);
  EXPECT_EQ(ReasonOf(store_->AppendUpload("u", 0, "x").status()), kReasonUploadNotFound);
  EXPECT_EQ(ReasonOf(store_->CommitUpload("u", digest, 1)), kReasonUploadNotFound);
  EXPECT_EQ(ReasonOf(store_->Open(digest).status()), kReasonArtifactNotFound);
  EXPECT_OK(store_->AbandonUpload("u"));
  EXPECT_OK(store_->Delete(digest));
}

TEST_P(ArtifactStoreConformance, NamesThatCouldLeaveTheFolderAreRefused) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument);
  for (const std::string& upload :
       {std::string(), std::string("../u"), std::string("a/b"), std::string("a.committed"),
        std::string("a\0b", 3), std::string(65, 'u')}) {
    EXPECT_THAT(store_->CreateUpload(upload), refused) << upload;
    EXPECT_THAT(store_->AppendUpload(upload, 0, "x"), refused) << upload;
    EXPECT_THAT(store_->AbandonUpload(upload), refused) << upload;
  }
  for (const std::string& digest :
       {std::string(), std::string("../../etc/passwd"), std::string(64, 'G'), std::string(63, 'a'),
        std::string(64, 'A')}) {
    EXPECT_THAT(store_->Open(digest), refused) << digest;
    EXPECT_THAT(store_->Delete(digest), refused) << digest;
    EXPECT_THAT(store_->CommitUpload("u", digest, 0), refused) << digest;
  }
}

struct RangeCase {
  int64_t offset;
  size_t length;
  std::string bytes;
};

TEST_P(ArtifactStoreConformance, AnyRangeCanBeRead) {
  const std::string digest = Put("u", "0123456789");
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->Open(digest));
  EXPECT_EQ(reader->size(), 10);
  for (const RangeCase& c : {RangeCase{0, 3, "012"}, RangeCase{7, 3, "789"},
                             RangeCase{8, 100, "89"}, RangeCase{10, 5, ""}, RangeCase{4, 0, ""}}) {
    std::string buffer(c.length, '?');
    ASSERT_OK_AND_ASSIGN(const size_t n,
                         reader->Read(c.offset, absl::MakeSpan(&buffer[0], buffer.size())));
    EXPECT_EQ(buffer.substr(0, n), c.bytes);
  }
  char byte;
  for (int64_t offset : {int64_t{-1}, int64_t{11}, int64_t{1} << 62}) {
    const auto refused = reader->Read(offset, absl::MakeSpan(&byte, 1));
    EXPECT_THAT(refused, StatusIs(absl::StatusCode::kOutOfRange));
    EXPECT_EQ(ReasonOf(refused.status()), kReasonRangeOutside);
  }
}

TEST_P(ArtifactStoreConformance, AnOpenBlobIsReadableAfterItsDeletion) {
  const std::string digest = Put("u", "still here");
  ASSERT_OK_AND_ASSIGN(const auto reader, store_->Open(digest));
  ASSERT_OK(store_->Delete(digest));
  std::string buffer(10, '?');
  ASSERT_OK(reader->Read(0, absl::MakeSpan(&buffer[0], buffer.size())));
  EXPECT_EQ(buffer, "still here");
  EXPECT_THAT(store_->Open(digest), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ArtifactStoreConformance, TheSameBytesAreOneBlob) {
  const std::string digest = Put("a", "same");
  EXPECT_EQ(Put("b", "same"), digest);
  EXPECT_THAT(store_->ListBlobs("", 10)->size(), 1u);
}

TEST_P(ArtifactStoreConformance, BlobsAreListedByDigestInPages) {
  std::vector<std::string> digests;
  for (int i = 0; i < 9; ++i) digests.push_back(Put(absl::StrCat("u", i), absl::StrCat(i)));
  std::sort(digests.begin(), digests.end());
  std::vector<std::string> listed;
  std::string after;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const auto page, store_->ListBlobs(after, 2));
    if (page.empty()) break;
    for (const BlobInfo& blob : page) {
      listed.push_back(blob.digest);
      EXPECT_EQ(blob.size_bytes, 1);
    }
    after = page.back().digest;
  }
  EXPECT_EQ(listed, digests);
}

TEST_P(ArtifactStoreConformance, UploadsAreListedUntilAbandoned) {
  ASSERT_OK(store_->CreateUpload("a"));
  ASSERT_OK(store_->CreateUpload("b"));
  ASSERT_OK(store_->AppendUpload("b", 0, "x"));
  ASSERT_OK(store_->CommitUpload("b", Sha256Hex("x"), 1));
  ASSERT_OK_AND_ASSIGN(auto uploads, store_->ListUploads());
  std::vector<std::string> ids;
  for (const PartialInfo& upload : uploads) ids.push_back(upload.upload);
  std::sort(ids.begin(), ids.end());
  EXPECT_THAT(ids, ElementsAre("a", "b"));
  ASSERT_OK(store_->AbandonUpload("a"));
  ASSERT_OK(store_->AbandonUpload("b"));
  EXPECT_THAT(*store_->ListUploads(), IsEmpty());
}

TEST_P(ArtifactStoreConformance, OfTwoClientsAtOneUploadEachByteIsTakenOnce) {
  constexpr int kChunks = 100;
  ASSERT_OK(store_->CreateUpload("u"));
  std::atomic<int> accepted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kChunks; ++i) {
        if (store_->AppendUpload("u", 3 * i, "abc").ok()) ++accepted;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(const int64_t offset, store_->UploadOffset("u"));
  EXPECT_EQ(offset, 3 * accepted);
  EXPECT_LE(accepted, kChunks);
}

}  // namespace topiary
