#include "worker/agent/artifact_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/cancellation.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/notification.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

class ArtifactCacheTest : public testing::Test {
 protected:
  ArtifactCacheTest()
      : folder_(testing::TempDir() + "/" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<ArtifactCache> Open(int64_t limit_bytes) {
    absl::StatusOr<std::unique_ptr<ArtifactCache>> cache =
        ArtifactCache::Open(folder_, limit_bytes);
    EXPECT_OK(cache.status());
    return std::move(*cache);
  }

  // Gets bytes that are what their digest says, counting fetches.
  absl::StatusOr<ArtifactCache::Pin> Get(ArtifactCache* cache, const std::string& bytes) {
    return cache->Get(Sha256Hex(bytes), [&](const std::string&, const std::string& path) {
      ++fetches_;
      return WriteFileAtomically(path, bytes);
    });
  }

  const std::string folder_;
  int fetches_ = 0;
};

TEST_F(ArtifactCacheTest, KnownBytesAreFetchedOnce) {
  auto cache = Open(1000);
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const ArtifactCache::Pin pin, Get(cache.get(), "bytes"));
    EXPECT_THAT(ReadFile(pin.path()), IsOkAndHolds("bytes"));
  }
  EXPECT_EQ(fetches_, 1);
}

TEST_F(ArtifactCacheTest, TheFileUsedLongestAgoGoesFirst) {
  auto cache = Open(10);
  ASSERT_OK(Get(cache.get(), "aaaaa").status());
  ASSERT_OK(Get(cache.get(), "bbbbb").status());
  ASSERT_OK(Get(cache.get(), "aaaaa").status());
  ASSERT_OK(Get(cache.get(), "ccccc").status());  // Drops b.
  EXPECT_EQ(cache->size_bytes(), 10);
  ASSERT_OK(Get(cache.get(), "aaaaa").status());
  EXPECT_EQ(fetches_, 3);
  ASSERT_OK(Get(cache.get(), "bbbbb").status());
  EXPECT_EQ(fetches_, 4);
}

TEST_F(ArtifactCacheTest, PinnedFilesStayWhateverTheLimit) {
  auto cache = Open(5);
  std::optional<ArtifactCache::Pin> first;
  {
    ASSERT_OK_AND_ASSIGN(ArtifactCache::Pin pin, Get(cache.get(), "aaaaa"));
    first.emplace(std::move(pin));
  }
  ASSERT_OK_AND_ASSIGN(const ArtifactCache::Pin second, Get(cache.get(), "bbbbb"));
  EXPECT_EQ(cache->size_bytes(), 10);
  EXPECT_THAT(ReadFile(first->path()), IsOkAndHolds("aaaaa"));
  first.reset();
  EXPECT_EQ(cache->size_bytes(), 5);
  EXPECT_THAT(ReadFile(second.path()), IsOkAndHolds("bbbbb"));
}

TEST_F(ArtifactCacheTest, AFailedFetchLeavesNothingAndMayBeRepeated) {
  auto cache = Open(100);
  const auto fail = [](const std::string&, const std::string&) {
    return absl::UnavailableError("cut");
  };
  EXPECT_THAT(cache->Get(Sha256Hex("x"), fail).status(),
              StatusIs(absl::StatusCode::kUnavailable, testing::_));
  EXPECT_EQ(cache->size_bytes(), 0);
  EXPECT_OK(Get(cache.get(), "x").status());
}

TEST_F(ArtifactCacheTest, FilesSurviveARestartAndDamagedOnesAreFetchedAgain) {
  {
    auto cache = Open(100);
    ASSERT_OK(Get(cache.get(), "good").status());
    ASSERT_OK(Get(cache.get(), "damaged").status());
  }
  ASSERT_OK(WriteFileAtomically(folder_ + "/" + Sha256Hex("damaged"), "dam"));
  auto cache = Open(100);
  EXPECT_EQ(cache->size_bytes(), 7);
  ASSERT_OK_AND_ASSIGN(const ArtifactCache::Pin good, Get(cache.get(), "good"));
  EXPECT_EQ(fetches_, 2);
  ASSERT_OK_AND_ASSIGN(const ArtifactCache::Pin damaged, Get(cache.get(), "damaged"));
  EXPECT_EQ(fetches_, 3);
  EXPECT_THAT(ReadFile(damaged.path()), IsOkAndHolds("damaged"));
  EXPECT_EQ(cache->size_bytes(), 11);
}

TEST_F(ArtifactCacheTest, ARestartWithASmallerLimitDropsFiles) {
  {
    auto cache = Open(100);
    ASSERT_OK(Get(cache.get(), "aaaaa").status());
    ASSERT_OK(Get(cache.get(), "bbbbb").status());
  }
  EXPECT_EQ(Open(7)->size_bytes(), 5);
}

TEST_F(ArtifactCacheTest, AFolderServesOneCacheAtATime) {
  auto cache = Open(100);
  EXPECT_THAT(ArtifactCache::Open(folder_, 100).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, testing::HasSubstr("--data-dir")));
}

TEST_F(ArtifactCacheTest, ANameThatIsNoDigestIsRefused) {
  auto cache = Open(100);
  EXPECT_THAT(cache->Get("../../etc/passwd", {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::_));
}

TEST_F(ArtifactCacheTest, AFetchThatThrowsLeavesNobodyWaiting) {
  auto cache = Open(100);
  const auto fail = [](const std::string&, const std::string&) -> absl::Status {
    throw std::bad_alloc();
  };
  EXPECT_THROW(cache->Get(Sha256Hex("x"), fail).IgnoreError(), std::bad_alloc);
  EXPECT_OK(Get(cache.get(), "x").status());
}

TEST_F(ArtifactCacheTest, WhoWaitsForAnothersFetchCanBeStopped) {
  auto cache = Open(100);
  Notification begun;
  Notification go_on;
  std::thread first([&] {
    EXPECT_OK(cache
                  ->Get(Sha256Hex("slow"),
                        [&](const std::string&, const std::string& path) {
                          begun.Notify();
                          go_on.WaitForNotification();
                          return WriteFileAtomically(path, "slow");
                        })
                  .status());
  });
  begun.WaitForNotification();
  Cancellation cancellation;
  cancellation.Cancel();
  EXPECT_THAT(cache->Get(Sha256Hex("slow"), {}, &cancellation).status(),
              StatusIs(absl::StatusCode::kCancelled, testing::_));
  go_on.Notify();
  first.join();
}

TEST_F(ArtifactCacheTest, UnfinishedDownloadsOfAnEarlierProcessAreRemoved) {
  ASSERT_OK(CreateFolders(folder_));
  const std::string partial = folder_ + "/" + Sha256Hex("x") + ".abc.partial";
  ASSERT_OK(WriteFileAtomically(partial, "half"));
  Open(100);
  EXPECT_FALSE(std::filesystem::exists(partial));
}

TEST_F(ArtifactCacheTest, AFileThatSomebodyRemovedIsFetchedAgain) {
  auto cache = Open(100);
  ASSERT_OK(Get(cache.get(), "bytes").status());
  std::filesystem::remove(folder_ + "/" + Sha256Hex("bytes"));
  ASSERT_OK_AND_ASSIGN(const ArtifactCache::Pin pin, Get(cache.get(), "bytes"));
  EXPECT_THAT(ReadFile(pin.path()), IsOkAndHolds("bytes"));
  EXPECT_EQ(fetches_, 2);
}

TEST_F(ArtifactCacheTest, TwoThreadsThatWantTheSameFetchItOnce) {
  auto cache = Open(100);
  Notification begun;
  Notification go_on;
  std::thread first([&] {
    EXPECT_OK(cache
                  ->Get(Sha256Hex("slow"),
                        [&](const std::string&, const std::string& path) {
                          begun.Notify();
                          go_on.WaitForNotification();
                          return WriteFileAtomically(path, "slow");
                        })
                  .status());
  });
  begun.WaitForNotification();
  std::thread second([&] { EXPECT_OK(Get(cache.get(), "slow").status()); });
  go_on.Notify();
  first.join();
  second.join();
  EXPECT_EQ(fetches_, 0);
}

}  // namespace
}  // namespace topiary
