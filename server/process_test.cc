// The binary topiary-server as a process: how it answers signals.

#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/child_process.h"
#include "common/digest.h"
#include "common/status_matchers.h"
#include "gtest/gtest.h"
#include "server/generic_call.h"
#include "topiary/v1/artifacts.grpc.pb.h"

namespace topiary {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);

// A coordinator in a process of its own, on a folder of its own.
class ServerProcessSignals : public testing::Test {
 protected:
  void Start() {
    static int count = 0;
    const std::string folder = absl::StrCat(testing::TempDir(), "/process", getpid(), "_", ++count);
    const std::string ports = absl::StrCat(folder, ".ports");
    ASSERT_OK_AND_ASSIGN(server_,
                         ChildProcess::Start({"server/topiary-server", "--listen=127.0.0.1:0",
                                              "--metrics-listen=none", "--drain-timeout=5m",
                                              "--data-dir=" + folder, "--port-file=" + ports}));
    ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines,
                         WaitForPortFile(ports, server_.get(), kPatience));
    address_ = lines[0];
  }

  std::unique_ptr<ChildProcess> server_;
  std::string address_;
};

TEST_F(ServerProcessSignals, SigtermAndSigintAreOrderlyEnds) {
  for (const int number : {SIGTERM, SIGINT}) {
    ASSERT_NO_FATAL_FAILURE(Start());
    server_->Signal(number);
    EXPECT_THAT(server_->Wait(kPatience), IsOkAndHolds(0));
  }
}

bool Serves(const std::shared_ptr<grpc::Channel>& channel) {
  std::string answer;
  return CallUnary(channel, kHealthCheck, "", &answer).ok() && answer == kServing;
}

// A download that its client does not read keeps an orderly end waiting.
TEST_F(ServerProcessSignals, WhileItDrainsItDoesNotServeAndASecondSignalEndsItAtOnce) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto channel = grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  EXPECT_TRUE(Serves(channel));
  auto artifacts = v1::ArtifactService::NewStub(channel);
  const std::string bytes(16 << 20, 'x');
  v1::BeginUploadRequest begin;
  begin.set_parent("projects/a");
  begin.set_digest(Sha256Hex(bytes));
  begin.set_size_bytes(static_cast<int64_t>(bytes.size()));
  begin.set_kind(v1::ARTIFACT_KIND_DATA);
  v1::Upload upload;
  grpc::ClientContext begin_context;
  ASSERT_TRUE(artifacts->BeginUpload(&begin_context, begin, &upload).ok());
  grpc::ClientContext write_context;
  auto writer = artifacts->WriteUpload(&write_context, &upload);
  v1::WriteUploadRequest chunk;
  chunk.set_name(upload.name());
  for (size_t offset = 0; offset < bytes.size(); offset += 1 << 20) {
    chunk.set_offset(static_cast<int64_t>(offset));
    chunk.set_data(bytes.substr(offset, 1 << 20));
    ASSERT_TRUE(writer->Write(chunk));
  }
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  v1::FinishUploadRequest finish;
  finish.set_name(chunk.name());
  v1::Artifact artifact;
  grpc::ClientContext finish_context;
  ASSERT_TRUE(artifacts->FinishUpload(&finish_context, finish, &artifact).ok());

  v1::ReadArtifactRequest read;
  read.set_name(artifact.name());
  grpc::ClientContext read_context;
  auto reader = artifacts->ReadArtifact(&read_context, read);
  v1::ReadArtifactResponse response;
  ASSERT_TRUE(reader->Read(&response));

  server_->Signal(SIGTERM);
  // The first signal has been taken once new streams are refused.
  grpc::StatusCode code = grpc::StatusCode::OK;
  while (code != grpc::StatusCode::UNAVAILABLE) {
    grpc::ClientContext context;
    v1::ReadArtifactRequest probe = read;
    probe.set_limit_bytes(1);
    auto probe_reader = artifacts->ReadArtifact(&context, probe);
    while (probe_reader->Read(&response)) {
    }
    code = probe_reader->Finish().error_code();
  }
  EXPECT_FALSE(Serves(channel));  // On a slow machine it may be past answering.
  server_->Signal(SIGTERM);
  EXPECT_THAT(server_->Wait(kPatience), IsOkAndHolds(1));
}

}  // namespace
}  // namespace topiary
