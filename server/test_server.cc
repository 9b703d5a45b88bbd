#include "server/test_server.h"

#include <grpcpp/create_channel.h>
#include <stdlib.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "server/artifacts/local_artifact_store.h"
#include "server/jobs/sqlite_metadata_store.h"

namespace topiary {
namespace {

std::string NewFolder() {
  std::string folder = absl::StrCat(testing::TempDir(), "/serverXXXXXX");
  CHECK(mkdtemp(&folder[0]) != nullptr) << folder;
  return folder;
}

template <typename Detail>
Detail DetailOf(const grpc::Status& status) {
  Detail detail;
  const auto payload = FromGrpcStatus(status).GetPayload(
      absl::StrCat("type.googleapis.com/", Detail::descriptor()->full_name()));
  if (payload.has_value()) CHECK(detail.ParseFromString(std::string(*payload)));
  return detail;
}

}  // namespace

TestServer::TestServer(void (*change)(ServerConfig*)) : folder_(NewFolder()) {
  clock_.Set(absl::FromUnixSeconds(1700000000));
  config_.listen = "127.0.0.1:0";
  config_.metrics_listen = "none";  // stopping it takes up to two seconds
  config_.data_dir = folder_;
  config_.report_interval = absl::Milliseconds(50);
  config_.drain_timeout = absl::Seconds(2);
  config_.threads = 2;
  config_.log_level = LogLevel::kWarning;
  if (change != nullptr) change(&config_);
  Start();
}

TestServer::~TestServer() { server_->Shutdown(); }

void TestServer::Restart() {
  server_.reset();
  Start();
}

void TestServer::Start() {
  SqliteOptions options;
  options.path = absl::StrCat(folder_, "/topiary.db");
  auto metadata = OpenSqliteMetadataStore(options, &clock_);
  CHECK_OK(metadata.status());
  auto blobs = OpenLocalArtifactStore(absl::StrCat(folder_, "/artifacts"));
  CHECK_OK(blobs.status());
  auto server = Server::Start(config_, *std::move(metadata), *std::move(blobs), &clock_);
  CHECK_OK(server.status());
  server_ = *std::move(server);
  channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
  jobs_ = v1::CompressionService::NewStub(channel_);
  artifacts_ = v1::ArtifactService::NewStub(channel_);
  workers_ = v1::WorkerService::NewStub(channel_);
  admin_ = v1::AdminService::NewStub(channel_);
}

std::string TestServer::Upload(absl::string_view bytes) {
  v1::BeginUploadRequest begin;
  begin.set_parent("projects/a");
  begin.set_digest(Sha256Hex(bytes));
  begin.set_size_bytes(static_cast<int64_t>(bytes.size()));
  begin.set_kind(v1::ARTIFACT_KIND_DATA);
  v1::Upload upload;
  grpc::Status status = artifacts_->BeginUpload(Context().get(), begin, &upload);
  EXPECT_TRUE(status.ok()) << status.error_message();
  if (upload.has_artifact()) return begin.digest();

  v1::WriteUploadRequest chunk;
  chunk.set_name(upload.name());
  chunk.set_data(std::string(bytes));
  const auto context = Context();
  v1::Upload written;
  auto writer = artifacts_->WriteUpload(context.get(), &written);
  writer->Write(chunk);
  writer->WritesDone();
  status = writer->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();

  v1::FinishUploadRequest finish;
  finish.set_name(upload.name());
  v1::Artifact artifact;
  status = artifacts_->FinishUpload(Context().get(), finish, &artifact);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return artifact.digest();
}

v1::CreateJobRequest TestServer::JobRequest(const std::string& request_id) {
  v1::CreateJobRequest request;
  request.set_parent("projects/a");
  request.set_request_id(request_id);
  auto* file = request.mutable_spec()->mutable_model()->add_files();
  file->set_path("model.onnx");
  file->set_digest(Upload("a model"));
  request.mutable_spec()->mutable_data()->mutable_train()->mutable_npz()->set_digest(
      Upload("data"));
  request.mutable_spec()->mutable_target()->set_sparsity(0.9);
  return request;
}

v1::Job TestServer::CreateJob() {
  v1::Job job;
  const grpc::Status status = jobs_->CreateJob(Context().get(), JobRequest(), &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return job;
}

v1::SynchronizeRequest TestServer::IdleWorker(const std::string& id) {
  v1::SynchronizeRequest request;
  request.set_worker_id(id);
  auto* capabilities = request.mutable_capabilities();
  capabilities->set_slots(1);
  capabilities->set_threads(1);
  capabilities->set_isa("avx2");
  capabilities->set_onednn_version("3.2.0");
  capabilities->add_devices(v1::Placement::CPU);
  request.set_free_slots(1);
  return request;
}

v1::SynchronizeResponse TestServer::Synchronize(const v1::SynchronizeRequest& request) {
  v1::SynchronizeResponse response;
  const grpc::Status status = workers_->Synchronize(Context().get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

v1::SynchronizeRequest TestServer::Running(const std::string& worker, const v1::Lease& lease) {
  v1::SynchronizeRequest request = IdleWorker(worker);
  request.set_free_slots(0);
  auto* attempt = request.add_attempts();
  attempt->set_job(lease.job());
  attempt->set_attempt(lease.attempt());
  attempt->set_token(lease.token());
  attempt->set_phase(v1::AttemptReport::RUNNING);
  return request;
}

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  return context;
}

google::rpc::ErrorInfo ErrorInfoOf(const grpc::Status& status) {
  return DetailOf<google::rpc::ErrorInfo>(status);
}
google::rpc::BadRequest BadRequestOf(const grpc::Status& status) {
  return DetailOf<google::rpc::BadRequest>(status);
}
google::rpc::PreconditionFailure PreconditionFailureOf(const grpc::Status& status) {
  return DetailOf<google::rpc::PreconditionFailure>(status);
}
google::rpc::RetryInfo RetryInfoOf(const grpc::Status& status) {
  return DetailOf<google::rpc::RetryInfo>(status);
}

}  // namespace topiary
