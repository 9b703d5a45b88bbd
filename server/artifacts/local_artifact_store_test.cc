#include "server/artifacts/local_artifact_store.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_matchers.h"
#include "server/artifacts/artifact_store_conformance.h"

namespace topiary {
namespace {

std::string NewRoot() {
  static std::atomic<int> next{0};
  return absl::StrCat(testing::TempDir(), "/artifacts-", getpid(), "-", next++);
}

class LocalArtifactStoreTest : public testing::Test {
 protected:
  std::unique_ptr<ArtifactStore> Reopen() {
    auto store = OpenLocalArtifactStore(root_);
    EXPECT_OK(store);
    return *std::move(store);
  }

  const std::string root_ = NewRoot();
  std::unique_ptr<ArtifactStore> store_ = Reopen();
};

TEST_F(LocalArtifactStoreTest, AnUploadGoesOnAfterARestart) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  store_ = Reopen();
  EXPECT_THAT(store_->UploadOffset("u"), IsOkAndHolds(3));
  ASSERT_OK(store_->AppendUpload("u", 3, "def"));
  EXPECT_OK(store_->CommitUpload("u", Sha256Hex("abcdef"), 6));
}

TEST_F(LocalArtifactStoreTest, ACommitIsKnownAfterARestart) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  ASSERT_OK(store_->CommitUpload("u", Sha256Hex("abc"), 3));
  store_ = Reopen();
  EXPECT_OK(store_->CommitUpload("u", Sha256Hex("abc"), 3));
  EXPECT_THAT(store_->CommitUpload("u", Sha256Hex("xyz"), 3),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LocalArtifactStoreTest, AnUploadWhoseBlobWasCollectedCanStartAgain) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  ASSERT_OK(store_->CommitUpload("u", Sha256Hex("abc"), 3));
  ASSERT_OK(store_->Delete(Sha256Hex("abc")));
  EXPECT_THAT(store_->CommitUpload("u", Sha256Hex("abc"), 3),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  EXPECT_OK(store_->CommitUpload("u", Sha256Hex("abc"), 3));
}

TEST_F(LocalArtifactStoreTest, BytesLostByACrashOfTheMachineAreFoundOut) {
  ASSERT_OK(store_->CreateUpload("u"));
  ASSERT_OK(store_->AppendUpload("u", 0, "abc"));
  // As a file system may leave it after a power cut: the size is there, the bytes are not.
  std::ofstream(root_ + "/uploads/u", std::ios::binary | std::ios::trunc) << std::string(3, '\0');
  EXPECT_THAT(store_->CommitUpload("u", Sha256Hex("abc"), 3),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(LocalArtifactStoreTest, FilesThatAreNotItsOwnAreNotListed) {
  std::ofstream(root_ + "/uploads/u.committed.tmp-a1b2c3") << "left behind";
  std::filesystem::create_directories(root_ + "/blobs/zz");
  std::ofstream(root_ + "/blobs/zz/README") << "note";
  EXPECT_THAT(*store_->ListUploads(), testing::IsEmpty());
  EXPECT_THAT(*store_->ListBlobs("", 10), testing::IsEmpty());
}

TEST_F(LocalArtifactStoreTest, ALinkInPlaceOfAnUploadIsNotFollowed) {
  const std::string target = root_ + "/target";
  std::ofstream(target) << "precious";
  std::filesystem::create_symlink(target, root_ + "/uploads/u");
  EXPECT_FALSE(store_->AppendUpload("u", 8, "x").ok());
  EXPECT_EQ(std::filesystem::file_size(target), 8u);
}

TEST_F(LocalArtifactStoreTest, AFolderThatCannotBeMadeIsNamed) {
  std::ofstream(root_ + "/file") << "x";
  EXPECT_THAT(OpenLocalArtifactStore(root_ + "/file").status().ToString(),
              testing::HasSubstr(root_ + "/file"));
  EXPECT_FALSE(OpenLocalArtifactStore(root_ + "/file").ok());
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Local, ArtifactStoreConformance,
                         testing::Values(ArtifactStoreFactory{
                             "Local", [] { return *OpenLocalArtifactStore(NewRoot()); }}));

}  // namespace topiary
