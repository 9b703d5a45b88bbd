#include "bench/peer_process.h"

#include <gtest/gtest.h>

namespace topiary {
namespace {

std::unique_ptr<PeerProcess> StartShell(const std::string& script) {
  auto peer = PeerProcess::Start({"/bin/sh", "-c", script});
  EXPECT_TRUE(peer.ok()) << peer.status();
  return *std::move(peer);
}

TEST(PeerProcess, AnswersLineByLine) {
  const auto peer = StartShell("echo ready; while read -r line; do echo \"got $line\"; done");
  EXPECT_EQ(*peer->ReadLine(absl::Seconds(10)), "ready");
  ASSERT_TRUE(peer->WriteLine("step 3").ok());
  EXPECT_EQ(*peer->ReadLine(absl::Seconds(10)), "got step 3");
}

TEST(PeerProcess, LinesThatCameTogetherAreReadOneByOne) {
  const auto peer = StartShell("printf 'a\\nb\\n'; read -r line");
  EXPECT_EQ(*peer->ReadLine(absl::Seconds(10)), "a");
  EXPECT_EQ(*peer->ReadLine(absl::Seconds(10)), "b");
}

TEST(PeerProcess, AnEndedPeerIsUnavailable) {
  const auto peer = StartShell("exit 3");
  EXPECT_EQ(peer->ReadLine(absl::Seconds(10)).status().code(), absl::StatusCode::kUnavailable);
}

TEST(PeerProcess, ASilentPeerRunsIntoTheDeadline) {
  const auto peer = StartShell("read -r line");
  EXPECT_EQ(peer->ReadLine(absl::Milliseconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(PeerProcess, AProgramThatIsNotThereIsNamed) {
  const auto peer = PeerProcess::Start({"/no/such/program"});
  EXPECT_EQ(peer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(peer.status().message().find("/no/such/program"), std::string::npos);
}

TEST(RunCommand, SaysWhichCommandFailed) {
  EXPECT_TRUE(RunCommand({"true"}).ok());
  const absl::Status status = RunCommand({"false", "argument"});
  EXPECT_NE(status.message().find("false argument"), std::string::npos) << status;
}

}  // namespace
}  // namespace topiary
