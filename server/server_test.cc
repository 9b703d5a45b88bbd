#include "server/server.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/artifacts/memory_artifact_store.h"
#include "server/generic_call.h"
#include "server/jobs/memory_metadata_store.h"
#include "server/test_server.h"

// The server as a whole: what it listens on, what it says about itself, how it ends.
namespace topiary {
namespace {

using grpc::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// ---- Calls of services whose messages we have no classes for
// ------------------------------------------

// A message with the one string field `number`.
std::string StringField(int number, const std::string& value) {
  return absl::StrCat(std::string(1, static_cast<char>(number << 3 | 2)),
                      std::string(1, static_cast<char>(value.size())), value);
}

// The first answer of a stream in both directions.
std::string CallStream(TestServer* server, const std::string& method, const std::string& request) {
  grpc::GenericStub stub(server->channel());
  const auto context = Context();
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto call = stub.PrepareCall(context.get(), method, &queue);
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  call->Write(Buffer(request), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  queue.Next(&tag, &ok);
  context->TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return BytesOf(answer);
}

// ---- Health and reflection
// ------------------------------------------------------------------------------

class HealthOf : public testing::TestWithParam<const char*> {};

TEST_P(HealthOf, IsServing) {
  TestServer server;
  std::string response;
  const std::string request = std::string(GetParam()).empty() ? "" : StringField(1, GetParam());
  ASSERT_TRUE(CallUnary(server.channel(), kHealthCheck, request, &response).ok());
  EXPECT_EQ(response, kServing);
}

INSTANTIATE_TEST_SUITE_P(Services, HealthOf,
                         testing::Values("", "topiary.v1.CompressionService",
                                         "topiary.v1.ArtifactService", "topiary.v1.WorkerService",
                                         "topiary.v1.AdminService"));

TEST(Health, OfAnUnknownServiceIsNotFound) {
  TestServer server;
  std::string response;
  EXPECT_EQ(CallUnary(server.channel(), kHealthCheck, StringField(1, "x"), &response).error_code(),
            StatusCode::NOT_FOUND);
}

TEST(Reflection, NamesOurServices) {
  TestServer server;
  const std::string answer =
      CallStream(&server, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                 StringField(7, "*"));
  EXPECT_THAT(
      answer,
      AllOf(HasSubstr("topiary.v1.CompressionService"), HasSubstr("topiary.v1.ArtifactService"),
            HasSubstr("topiary.v1.WorkerService"), HasSubstr("topiary.v1.AdminService")));
}

TEST(Requests, OfAMethodThatDoesNotExistAreUnimplemented) {
  TestServer server;
  std::string response;
  EXPECT_EQ(CallUnary(server.channel(), "/topiary.v1.CompressionService/Nonsense", "", &response)
                .error_code(),
            StatusCode::UNIMPLEMENTED);
}

TEST(Requests, ThatAreNoMessageAreRefusedAndTheServerLives) {
  TestServer server;
  std::string response;
  EXPECT_FALSE(CallUnary(server.channel(), "/topiary.v1.CompressionService/CreateJob",
                         "\xff\xff\xff\xff", &response)
                   .ok());
  EXPECT_EQ(server.CreateJob().state(), v1::JOB_STATE_QUEUED);
}

TEST(Requests, LargerThanTheLimitAreRefused) {
  TestServer server;
  std::string response;
  EXPECT_EQ(CallUnary(server.channel(), "/topiary.v1.CompressionService/CreateJob",
                      std::string(5 * 1024 * 1024, '\x0a'), &response)
                .error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
}

// ---- Listening
// ----------------------------------------------------------------------------------------------

void WithMetrics(ServerConfig* config) { config->metrics_listen = "127.0.0.1:0"; }

absl::Status StartAt(const std::string& listen, const std::string& metrics_listen) {
  ServerConfig config;
  config.listen = listen;
  config.metrics_listen = metrics_listen;
  config.data_dir = "/unused";
  FakeClock clock;
  return Server::Start(config, std::make_unique<MemoryMetadataStore>(&clock),
                       std::make_unique<MemoryArtifactStore>(&clock), &clock)
      .status();
}

TEST(Listening, AtAPortThatIsTakenIsAnErrorThatNamesIt) {
  TestServer other(WithMetrics);
  EXPECT_THAT(StartAt(other.server()->address(), "none"),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(other.server()->address())));
  EXPECT_THAT(
      StartAt("127.0.0.1:0", other.server()->metrics_address()),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr(other.server()->metrics_address())));
}

TEST(Listening, WithAWrongConfigurationIsRefused) {
  EXPECT_THAT(StartAt("nowhere", "none"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--listen")));
}

TEST(Listening, AtAUnixSocketWorks) {
  // Not in TempDir(): a socket's path has at most 107 characters.
  char folder[] = "/tmp/topiary-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string address = absl::StrCat("unix:", folder, "/s.sock");
  ServerConfig config;
  config.listen = address;
  config.metrics_listen = "none";
  config.data_dir = "/unused";
  FakeClock clock;
  ASSERT_OK_AND_ASSIGN(const auto server,
                       Server::Start(config, std::make_unique<MemoryMetadataStore>(&clock),
                                     std::make_unique<MemoryArtifactStore>(&clock), &clock));
  EXPECT_EQ(server->address(), address);
  auto stub = v1::CompressionService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  v1::ListJobsRequest request;
  request.set_parent("projects/a");
  v1::ListJobsResponse response;
  EXPECT_TRUE(stub->ListJobs(Context().get(), request, &response).ok());
  std::filesystem::remove_all(folder);
}

// ---- Metrics
// ------------------------------------------------------------------------------------------------

// What GET /metrics answers at "127.0.0.1:PORT".
std::string Scrape(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  if (file < 0) {
    ADD_FAILURE() << "no socket";
    return "";
  }
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(port));
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(file, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(file, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(file, buffer, sizeof(buffer))) > 0;) answer.append(buffer, got);
  close(file);
  return answer;
}

TEST(Metrics, CountCallsByMethodAndCodeAndJobsByMethod) {
  TestServer server(WithMetrics);
  server.CreateJob();
  v1::GetJobRequest request;
  request.set_name("projects/a/jobs/jx");
  v1::Job job;
  EXPECT_FALSE(server.jobs()->GetJob(Context().get(), request, &job).ok());
  const std::string text = Scrape(server.server()->metrics_address());
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{grpc_method=\"CreateJob\",grpc_service="
                              "\"topiary.v1.CompressionService\",grpc_type=\"unary\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("topiary_jobs_submitted_total{method=\"sequential_attention_pp\"} 1"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_code=\"NotFound\",grpc_method="
                              "\"GetJob\",grpc_service=\"topiary.v1.CompressionService\","
                              "grpc_type=\"unary\"}"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handling_seconds_bucket"));
  EXPECT_THAT(text, HasSubstr("topiary_artifact_bytes_total{direction=\"uploaded\"} 11"));
  EXPECT_THAT(text, HasSubstr("topiary_build_info"));
  EXPECT_THAT(text, HasSubstr("process_start_time_seconds"));
  EXPECT_THAT(text, Not(HasSubstr("projects/")));
}

// ---- The end
// ------------------------------------------------------------------------------------------------

TEST(ShuttingDown, EndsStreamsWithUnavailable) {
  TestServer server;
  const v1::Job job = server.CreateJob();
  v1::WatchJobRequest request;
  request.set_name(job.name());
  const auto context = Context();
  auto watch = server.jobs()->WatchJob(context.get(), request);
  v1::JobEvent event;
  ASSERT_TRUE(watch->Read(&event));

  std::thread shutdown([&] { server.server()->Shutdown(); });
  EXPECT_FALSE(watch->Read(&event));
  const grpc::Status status = watch->Finish();
  shutdown.join();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DRAINING");
  EXPECT_EQ(RetryInfoOf(status).retry_delay().seconds(), 1);
}

TEST(ShuttingDown, EndsAnUploadWhoseClientSaysNothing) {
  TestServer server;
  v1::BeginUploadRequest begin;
  begin.set_parent("projects/a");
  begin.set_digest(std::string(64, 'a'));
  begin.set_size_bytes(10);
  begin.set_kind(v1::ARTIFACT_KIND_DATA);
  v1::Upload upload;
  ASSERT_TRUE(server.artifacts()->BeginUpload(Context().get(), begin, &upload).ok());
  const auto context = Context();
  v1::Upload ignored;
  auto writer = server.artifacts()->WriteUpload(context.get(), &ignored);
  v1::WriteUploadRequest chunk;
  chunk.set_name(upload.name());
  chunk.set_data("abc");
  ASSERT_TRUE(writer->Write(chunk));
  v1::GetUploadRequest get;
  get.set_name(upload.name());
  while (upload.committed_bytes() < 3) {
    ASSERT_TRUE(server.artifacts()->GetUpload(Context().get(), get, &upload).ok());
  }
  server.server()->Shutdown();
  EXPECT_EQ(writer->Finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST(ShuttingDown, TellsAWorkerThatWaits) {
  TestServer server;
  v1::SynchronizeRequest request = server.IdleWorker("w");
  request.mutable_poll_timeout()->set_seconds(20);
  v1::SynchronizeResponse response;
  std::thread worker([&] { response = server.Synchronize(request); });
  // The worker waits once the coordinator knows of it.
  v1::ListWorkersResponse workers;
  while (workers.workers_size() == 0) {
    ASSERT_TRUE(
        server.admin()->ListWorkers(Context().get(), v1::ListWorkersRequest(), &workers).ok());
  }
  server.server()->Shutdown();
  worker.join();
  EXPECT_TRUE(response.coordinator_draining());
  EXPECT_EQ(response.new_leases_size(), 0);
}

TEST(ShuttingDown, WaitsForRareReportsNoLongerThanItsTimeout) {
  TestServer server([](ServerConfig* config) {
    config->report_interval = absl::Minutes(1);
    config->lease_duration = absl::Minutes(10);
    config->drain_timeout = absl::ZeroDuration();
  });
  const v1::Job job = server.CreateJob();
  const v1::SynchronizeResponse response = server.Synchronize(server.IdleWorker("w"));
  ASSERT_EQ(response.new_leases_size(), 1);
  server.Synchronize(server.Running("w", response.new_leases(0)));
  server.server()->Shutdown();  // in a minute, this test would have timed out
  server.Restart();
  v1::GetJobRequest request;
  request.set_name(job.name());
  v1::Job found;
  ASSERT_TRUE(server.jobs()->GetJob(Context().get(), request, &found).ok());
  EXPECT_EQ(found.state(), v1::JOB_STATE_RUNNING);
}

TEST(ShuttingDown, LosesNothingThatWasAcknowledged) {
  TestServer server;
  const v1::Job job = server.CreateJob();
  server.server()->Shutdown();
  server.Restart();
  v1::GetJobRequest request;
  request.set_name(job.name());
  v1::Job found;
  ASSERT_TRUE(server.jobs()->GetJob(Context().get(), request, &found).ok());
  EXPECT_EQ(found.SerializeAsString(), job.SerializeAsString());
}

TEST(ShuttingDown, RefusesNewCallsAfterwards) {
  TestServer server;
  server.server()->Shutdown();
  server.server()->Shutdown();
  v1::ListJobsRequest request;
  request.set_parent("projects/a");
  v1::ListJobsResponse response;
  EXPECT_EQ(server.jobs()->ListJobs(Context().get(), request, &response).error_code(),
            StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace topiary
