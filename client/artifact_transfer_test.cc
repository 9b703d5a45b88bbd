#include "client/artifact_transfer.h"

#include <unistd.h>

#include <vector>

#include "client/channel.h"
#include "client/testing/fake_artifact_service.h"
#include "client/testing/in_process_server.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

// Not the same at any two places, so that bytes in the wrong place are noticed.
std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
  return bytes;
}

class Transfer : public testing::Test {
 protected:
  Transfer() {
    ChannelOptions channel;
    channel.target = server_.target();
    transfer_ = std::make_unique<ArtifactTransfer>(NewChannel(channel).value());
    options_.backoff.initial = options_.backoff.maximum = absl::Microseconds(1);
    options_.backoff.max_failures = 4;
    path_ =
        testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
  }

  absl::StatusOr<v1::Artifact> Upload(const std::string& bytes) {
    EXPECT_OK(WriteFileAtomically(path_, bytes));
    UploadSource source;
    source.path = path_;
    return transfer_->Upload("projects/p", source, options_);
  }

  absl::Status Download(const std::string& digest) {
    return transfer_->Download("projects/p", digest, path_, options_);
  }

  FakeArtifactService service_;
  InProcessServer server_{{&service_}};
  std::unique_ptr<ArtifactTransfer> transfer_;
  TransferOptions options_;
  std::string path_;
};

TEST_F(Transfer, UploadsAFileUnderItsDigest) {
  const std::string bytes = Bytes(3 << 20);
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact, Upload(bytes));
  EXPECT_EQ(artifact.digest(), Sha256Hex(bytes));
  EXPECT_EQ(service_.Get(artifact.digest()), bytes);
  EXPECT_EQ(service_.last_display_name(), "UploadsAFileUnderItsDigest");
}

TEST_F(Transfer, UploadsAnEmptyFile) {
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact, Upload(""));
  EXPECT_EQ(artifact.size_bytes(), 0);
}

TEST_F(Transfer, KnownBytesAreNotSentAgain) {
  const std::string bytes = Bytes(1 << 20);
  service_.Put(bytes);
  EXPECT_OK(Upload(bytes).status());
  EXPECT_EQ(service_.bytes_received(), 0);
}

TEST_F(Transfer, ACutUploadGoesOnWhereItStopped) {
  const std::string bytes = Bytes(3 << 20);
  service_.CutNextWriteAfter(1300000);
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact, Upload(bytes));
  EXPECT_EQ(service_.Get(artifact.digest()), bytes);
  EXPECT_EQ(service_.bytes_received(), 3 << 20);
}

TEST_F(Transfer, AnUploadThatAdvancesIsNeverGivenUp) {
  // 4 failures in a row are allowed; this takes about 30 cuts.
  service_.CutAllWritesAfter(100000);
  const std::string bytes = Bytes(3 << 20);
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact, Upload(bytes));
  EXPECT_EQ(service_.Get(artifact.digest()), bytes);
}

TEST_F(Transfer, AnUploadThatDoesNotAdvanceIsGivenUp) {
  service_.CutAllWritesAfter(0);
  EXPECT_THAT(Upload(Bytes(1000)),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cut by the test")));
}

TEST_F(Transfer, ALaterProcessGoesOnWithAnUpload) {
  const std::string bytes = Bytes(2 << 20);
  options_.backoff.max_failures = 1;
  service_.CutNextWriteAfter(1000000);
  EXPECT_FALSE(Upload(bytes).ok());
  EXPECT_OK(Upload(bytes).status());
  EXPECT_EQ(service_.bytes_received(), 2 << 20);
}

TEST_F(Transfer, SmallSegmentsGiveTheSameBytes) {
  options_.segment_bytes = 100000;
  const std::string bytes = Bytes(1 << 20);
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact, Upload(bytes));
  EXPECT_EQ(service_.Get(artifact.digest()), bytes);
  ASSERT_OK(Download(artifact.digest()));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(bytes));
}

TEST_F(Transfer, BytesDamagedOnTheWayUpAreSentAgain) {
  const std::string bytes = Bytes(1000);
  service_.CorruptNextWrite();
  ASSERT_OK_AND_ASSIGN(const v1::Artifact artifact, Upload(bytes));
  EXPECT_EQ(service_.Get(artifact.digest()), bytes);
}

TEST_F(Transfer, AnUploadTheServerForgotIsBegunAgain) {
  service_.ForgetNextUpload();
  EXPECT_OK(Upload(Bytes(1000)).status());
}

TEST_F(Transfer, AFileThatIsNotItsDigestIsReported) {
  ASSERT_OK(WriteFileAtomically(path_, "new contents"));
  UploadSource source;
  source.path = path_;
  source.digest = Sha256Hex("old contents");
  EXPECT_THAT(transfer_->Upload("projects/p", source, options_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("changed")));
}

TEST_F(Transfer, AMissingFileIsNamed) {
  UploadSource source;
  source.path = "/no/such/file";
  EXPECT_THAT(transfer_->Upload("projects/p", source, options_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/file")));
}

TEST_F(Transfer, ProgressRisesToTheWholeSize) {
  std::vector<int64_t> seen;
  options_.progress = [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 2 << 20);
    seen.push_back(done);
  };
  EXPECT_OK(Upload(Bytes(2 << 20)).status());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 2 << 20);
}

TEST_F(Transfer, DownloadsWhatWasUploaded) {
  const std::string bytes = Bytes(3 << 20);
  service_.Put(bytes);
  ASSERT_OK(Download(Sha256Hex(bytes)));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(bytes));
  EXPECT_NE(access(PartialPath(path_, Sha256Hex(bytes)).c_str(), F_OK), 0);
}

TEST_F(Transfer, DownloadsAnEmptyArtifact) {
  service_.Put("");
  ASSERT_OK(Download(Sha256Hex("")));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(""));
}

TEST_F(Transfer, ACutDownloadGoesOnWhereItStopped) {
  const std::string bytes = Bytes(2 << 20);
  service_.Put(bytes);
  service_.CutNextReadAfter(777777);
  ASSERT_OK(Download(Sha256Hex(bytes)));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(bytes));
  EXPECT_EQ(service_.bytes_sent(), 2 << 20);
}

TEST_F(Transfer, ALaterProcessGoesOnWithADownload) {
  const std::string bytes = Bytes(2 << 20);
  const std::string digest = Sha256Hex(bytes);
  service_.Put(bytes);
  ASSERT_OK(WriteFileAtomically(PartialPath(path_, digest), bytes.substr(0, 1 << 20)));
  ASSERT_OK(Download(digest));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(bytes));
  EXPECT_EQ(service_.bytes_sent(), 1 << 20);
}

TEST_F(Transfer, ADamagedOrOverlongPartialFileIsThrownAway) {
  const std::string bytes = Bytes(100000);
  const std::string digest = Sha256Hex(bytes);
  service_.Put(bytes);
  for (const std::string& partial : {std::string(5000, 'x'), std::string(200000, 'x')}) {
    ASSERT_OK(WriteFileAtomically(PartialPath(path_, digest), partial));
    ASSERT_OK(Download(digest));
    EXPECT_THAT(ReadFile(path_), IsOkAndHolds(bytes));
  }
}

TEST_F(Transfer, BytesDamagedOnTheWayDownNeverTakeTheName) {
  const std::string bytes = Bytes(1000);
  service_.Put(bytes);
  service_.CorruptNextRead();
  ASSERT_OK(WriteFileAtomically(path_, "what was there"));
  EXPECT_THAT(Download(Sha256Hex(bytes)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("what was there"));
  EXPECT_NE(access(PartialPath(path_, Sha256Hex(bytes)).c_str(), F_OK), 0);
}

TEST_F(Transfer, AnUnknownArtifactLeavesNoFile) {
  EXPECT_THAT(Download(Sha256Hex("unknown")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_NE(access(PartialPath(path_, Sha256Hex("unknown")).c_str(), F_OK), 0);
}

TEST_F(Transfer, WhatIsNoDigestIsRefusedAtOnce) {
  EXPECT_THAT(Download("../../etc/passwd"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(Transfer, ACancelledTransferEndsAndCanBeTakenUp) {
  const std::string bytes = Bytes(4 << 20);
  service_.Put(bytes);
  Cancellation cancellation;
  options_.cancellation = &cancellation;
  options_.progress = [&](int64_t done, int64_t) {
    if (done > 1 << 20) cancellation.Cancel();
  };
  EXPECT_THAT(Download(Sha256Hex(bytes)), StatusIs(absl::StatusCode::kCancelled));
  options_.cancellation = nullptr;
  ASSERT_OK(Download(Sha256Hex(bytes)));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds(bytes));
}

TEST_F(Transfer, SmallArtifactsCanBeReadIntoMemory) {
  service_.Put("{\"a\": 1}");
  EXPECT_THAT(transfer_->Read("projects/p", Sha256Hex("{\"a\": 1}"), 100, options_),
              IsOkAndHolds("{\"a\": 1}"));
}

TEST_F(Transfer, LargeOnesAreNot) {
  service_.Put(Bytes(101));
  EXPECT_THAT(transfer_->Read("projects/p", Sha256Hex(Bytes(101)), 100, options_),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(Transfer, ATargetNobodyListensOnIsUnavailable) {
  ChannelOptions channel;
  channel.target = "unix:/no/such/socket";
  ArtifactTransfer transfer(NewChannel(channel).value());
  options_.backoff.max_failures = 1;
  options_.call_timeout = absl::Seconds(2);
  EXPECT_FALSE(transfer.Download("projects/p", Sha256Hex("x"), path_, options_).ok());
}

}  // namespace
}  // namespace topiary
