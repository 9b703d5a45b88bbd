// The binary topiary-server as a process: how it answers signals.

#include <grpcpp/create_channel.h>
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "topiary/v1/artifacts.grpc.pb.h"

extern char** environ;

namespace topiary {
namespace {

// A coordinator in a process of its own, on a folder of its own.
class ServerProcess {
 public:
  ServerProcess() {
    const std::string folder =
        absl::StrCat(testing::TempDir(), "/process", getpid(), "_", ++count_);
    const std::string ports = absl::StrCat(folder, ".ports");
    std::vector<std::string> arguments = {"server/topiary-server", "--listen=127.0.0.1:0",
                                          "--metrics-listen=none", "--drain-timeout=5m",
                                          "--data-dir=" + folder,  "--port-file=" + ports};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(&argument[0]);
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], nullptr, nullptr, argv.data(), environ), 0);
    absl::StatusOr<std::string> text = ReadFile(ports);
    while (!text.ok()) {  // there is nothing to be notified by
      absl::SleepFor(absl::Milliseconds(5));
      text = ReadFile(ports);
    }
    const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
    address_ = lines[0];
  }
  ~ServerProcess() {
    if (pid_ != 0) kill(pid_, SIGKILL);
  }

  const std::string& address() const { return address_; }
  void Signal(int number) const { kill(pid_, number); }

  // The exit status; -1 for an end by a signal.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static int count_;
  pid_t pid_ = 0;
  std::string address_;
};

int ServerProcess::count_ = 0;

TEST(ServerProcessSignals, SigtermAndSigintAreOrderlyEnds) {
  for (const int number : {SIGTERM, SIGINT}) {
    ServerProcess server;
    server.Signal(number);
    EXPECT_EQ(server.Wait(), 0);
  }
}

// A download that its client does not read keeps an orderly end waiting.
TEST(ServerProcessSignals, ASecondSignalEndsItAtOnce) {
  ServerProcess server;
  auto artifacts = v1::ArtifactService::NewStub(
      grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
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

  server.Signal(SIGTERM);
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
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 1);
}

}  // namespace
}  // namespace topiary
