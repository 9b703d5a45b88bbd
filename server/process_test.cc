// The binary topiary-server as a process: how it answers signals.

#include <grpcpp/create_channel.h>
#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
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
    const int error = posix_spawn(&pid_, argv[0], nullptr, nullptr, argv.data(), environ);
    if (error != 0) {
      pid_ = 0;
      ADD_FAILURE() << argv[0] << " cannot be started: " << strerror(error);
      return;
    }
    address_ = AwaitAddress(ports);
  }
  ~ServerProcess() {
    if (pid_ != 0) kill(pid_, SIGKILL);
  }

  // Empty, and the test has failed, if it did not start.
  const std::string& address() const { return address_; }
  void Signal(int number) const {
    if (pid_ != 0) kill(pid_, number);
  }

  // The exit status; -1 for an end by a signal, or if it had ended before.
  int Wait() {
    if (pid_ == 0) return -1;
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  // Where it listens, read from the file in which it writes that down.
  std::string AwaitAddress(const std::string& ports) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    while (absl::Now() < deadline) {  // there is nothing to be notified by
      const absl::StatusOr<std::string> text = ReadFile(ports);
      if (text.ok()) {
        const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
        return lines[0];
      }
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = 0;
        ADD_FAILURE() << "the server ended before it served; its wait status is " << status;
        return "";
      }
      absl::SleepFor(absl::Milliseconds(5));
    }
    ADD_FAILURE() << "the server did not write " << ports;
    return "";
  }

  static int count_;
  pid_t pid_ = 0;
  std::string address_;
};

int ServerProcess::count_ = 0;

TEST(ServerProcessSignals, SigtermAndSigintAreOrderlyEnds) {
  for (const int number : {SIGTERM, SIGINT}) {
    ServerProcess server;
    ASSERT_NE(server.address(), "");
    server.Signal(number);
    EXPECT_EQ(server.Wait(), 0);
  }
}

// A download that its client does not read keeps an orderly end waiting.
TEST(ServerProcessSignals, ASecondSignalEndsItAtOnce) {
  ServerProcess server;
  ASSERT_NE(server.address(), "");
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
