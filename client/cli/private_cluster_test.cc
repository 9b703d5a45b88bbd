#include "client/cli/private_cluster.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "client/local_file.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Programs that are shell scripts in the place of the two servers.
class Cluster : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    ASSERT_OK(CreateFolders(folder_));
    options_.data_dir = folder_ + "/data";
    options_.server_binary = Script(
        "server",
        "for a in \"$@\"; do case $a in --port-file=*) f=${a#--port-file=};; esac; done\n"
        "printf '127.0.0.1:4321\\n\\n' > \"$f.tmp\" && mv \"$f.tmp\" \"$f\"\nexec sleep 1000");
    options_.worker_binary = Script("worker", "echo \"$@\"; exec sleep 1000");
  }

  std::string Script(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    EXPECT_OK(WriteFileAtomically(path, "#!/bin/sh\n" + text + "\n"));
    chmod(path.c_str(), 0755);
    return path;
  }

  std::string folder_;
  PrivateClusterOptions options_;
  Cancellation cancellation_;
};

TEST_F(Cluster, StartsTheWorkerWithTheAddressOfTheServer) {
  options_.threads = 3;
  ASSERT_OK_AND_ASSIGN(const auto cluster, PrivateCluster::Start(options_, &cancellation_));
  EXPECT_EQ(cluster->target(), "127.0.0.1:4321");
  EXPECT_OK(cluster->Check());
  while (ReadFile(folder_ + "/data/worker.log").value_or("").empty()) sched_yield();
  EXPECT_THAT(ReadFile(folder_ + "/data/worker.log"),
              IsOkAndHolds(testing::AllOf(HasSubstr("--coordinator=127.0.0.1:4321"),
                                          HasSubstr("--threads=3"))));
}

TEST_F(Cluster, AFolderThatCannotBeMadeIsNoAnswerOfAServer) {
  ASSERT_OK(WriteFileAtomically(folder_ + "/data", "a file"));
  EXPECT_TRUE(IsLocalFileError(PrivateCluster::Start(options_, &cancellation_).status()));
}

TEST_F(Cluster, AServerThatEndsAtOnceIsReportedWithItsLog) {
  options_.server_binary = Script("broken", "echo 'cannot open the store' >&2; exit 2");
  EXPECT_THAT(
      PrivateCluster::Start(options_, &cancellation_),
      StatusIs(absl::StatusCode::kInternal,
               testing::AllOf(HasSubstr("exited with 2"), HasSubstr("cannot open the store"))));
}

TEST_F(Cluster, AWorkerThatEndsIsNoticed) {
  options_.worker_binary = Script("worker", "echo 'no such instruction set'; exit 1");
  ASSERT_OK_AND_ASSIGN(const auto cluster, PrivateCluster::Start(options_, &cancellation_));
  while (cluster->Check().ok()) sched_yield();
  EXPECT_THAT(cluster->Check(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("topiary-worker exited with 1")));
}

TEST_F(Cluster, CanBeStoppedWhileTheServerStarts) {
  options_.server_binary = Script("slow", "exec sleep 1000");
  cancellation_.Cancel();
  EXPECT_THAT(PrivateCluster::Start(options_, &cancellation_),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(Cluster, AMissingProgramIsNamed) {
  options_.server_binary = "/no/such/server";
  EXPECT_THAT(PrivateCluster::Start(options_, &cancellation_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/server")));
}

TEST_F(Cluster, ItsTemporaryFolderIsRemoved) {
  setenv("TMPDIR", folder_.c_str(), 1);
  options_.data_dir = "";
  { ASSERT_OK_AND_ASSIGN(const auto cluster, PrivateCluster::Start(options_, &cancellation_)); }
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    EXPECT_THAT(entry.path().string(), Not(HasSubstr("topiary-run-")));
  }
}

TEST(FindBinary, LooksInPathAndSaysWhereItLooked) {
  const std::string folder = testing::TempDir() + "/bin";
  ASSERT_OK(CreateFolders(folder));
  ASSERT_OK(WriteFileAtomically(folder + "/topiary-thing", "#!/bin/sh\n"));
  chmod((folder + "/topiary-thing").c_str(), 0755);
  setenv("PATH", folder.c_str(), 1);
  EXPECT_THAT(FindBinary("topiary-thing"), IsOkAndHolds(folder + "/topiary-thing"));
  EXPECT_THAT(FindBinary("topiary-other"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(folder + "/topiary-other")));
}

TEST(LogTail, KeepsWholeLines) {
  const std::string path = testing::TempDir() + "/tail.log";
  ASSERT_OK(WriteFileAtomically(path, "first line\nsecond line\nthird\n"));
  EXPECT_EQ(LogTail(path, 1000), "first line\nsecond line\nthird\n");
  EXPECT_EQ(LogTail(path, 10), "third\n");
  EXPECT_EQ(LogTail("/no/such/log", 10), "");
}

}  // namespace
}  // namespace topiary
