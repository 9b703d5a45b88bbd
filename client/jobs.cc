#include "client/jobs.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/retry.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "topiary/v1/jobs.grpc.pb.h"

namespace topiary {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(30);
constexpr int kPageSize = 200;

absl::StatusOr<v1::Job> GetJob(v1::CompressionService::Stub* stub, const std::string& name) {
  grpc::ClientContext context;
  SetDeadline(kCallTimeout, &context);
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  RETURN_IF_ERROR(FromGrpcStatus(stub->GetJob(&context, request, &job)));
  return job;
}

// One watch across its streams.
class Watcher {
 public:
  using OnEvent = std::function<absl::Status(const v1::JobEvent&)>;

  Watcher(v1::CompressionService::Stub* stub, const std::string& name, const WatchOptions& options,
          const OnEvent& on_event)
      : stub_(stub), options_(options), on_event_(on_event) {
    request_.set_name(name);
    request_.set_after_sequence(options.after_sequence);
  }

  // Until the job has ended.
  absl::Status Run() {
    Backoff backoff(options_.backoff);
    while (!ended_) {
      const int64_t before = request_.after_sequence();
      const absl::Time began = absl::Now();
      absl::Status status = Stream();
      if (!callback_.ok()) return callback_;
      if (status.ok() && !ended_) status = CheckEnded();
      if (ended_) break;
      // Its own deadline has passed: normal for a long job, no failure.
      const bool expired =
          absl::IsDeadlineExceeded(status) && absl::Now() - began >= options_.stream_timeout;
      if (request_.after_sequence() > before || expired) backoff.Reset();
      RETURN_IF_ERROR(WaitToRetry(status, &backoff, options_.cancellation));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Stream() {
    if (IsCancelled(options_.cancellation)) return absl::CancelledError("stopped");
    grpc::ClientContext context;
    SetDeadline(options_.stream_timeout, &context);
    const Cancellation::Scope scope(options_.cancellation, &context);
    const auto reader = stub_->WatchJob(&context, request_);
    v1::JobEvent event;
    while (callback_.ok() && reader->Read(&event)) {
      if (event.sequence() <= request_.after_sequence()) continue;
      request_.set_after_sequence(event.sequence());
      callback_ = on_event_(event);
      ended_ = ended_ || (event.has_state_change() && IsFinal(event.state_change().state()));
    }
    if (!callback_.ok()) context.TryCancel();
    return FromGrpcStatus(reader->Finish());
  }

  // The stream ended without the last event: it was seen before `after_sequence`, or the server
  // stopped.
  absl::Status CheckEnded() {
    ASSIGN_OR_RETURN(const v1::Job job, GetJob(stub_, request_.name()));
    ended_ = IsFinal(job.state());
    return ended_ ? absl::OkStatus() : absl::UnavailableError("the server ended the stream");
  }

  v1::CompressionService::Stub* const stub_;
  const WatchOptions& options_;
  const OnEvent& on_event_;
  v1::WatchJobRequest request_;
  absl::Status callback_;  // What on_event_ last said.
  bool ended_ = false;     // The event that ends the job was seen.
};

}  // namespace

JobClient::JobClient(std::shared_ptr<grpc::Channel> channel, std::string project)
    : channel_(std::move(channel)), project_(std::move(project)) {}

absl::StatusOr<v1::Job> JobClient::Create(v1::CreateJobRequest request) {
  request.set_parent(project_);
  grpc::ClientContext context;
  SetDeadline(kCallTimeout, &context);
  v1::Job job;
  const auto stub = v1::CompressionService::NewStub(channel_);
  RETURN_IF_ERROR(FromGrpcStatus(stub->CreateJob(&context, request, &job)));
  return job;
}

absl::StatusOr<v1::Job> JobClient::Submit(const v1::CompressionSpec& spec,
                                          absl::string_view request_id) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id.empty() ? NewRequestId() : std::string(request_id));
  return Create(std::move(request));
}

absl::StatusOr<v1::Job> JobClient::Validate(const v1::CompressionSpec& spec) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_validate_only(true);
  return Create(std::move(request));
}

absl::StatusOr<v1::Job> JobClient::Get(const std::string& name) {
  const auto stub = v1::CompressionService::NewStub(channel_);
  return GetJob(stub.get(), name);
}

absl::StatusOr<std::vector<v1::Job>> JobClient::List(const JobFilter& filter) {
  v1::ListJobsRequest request;
  request.set_parent(project_);
  for (const v1::JobState state : filter.states) request.add_states(state);
  request.mutable_labels()->insert(filter.labels.begin(), filter.labels.end());
  request.set_parent_job(filter.parent_job);
  request.set_include_children(filter.include_children);
  request.set_page_size(filter.limit > 0 ? std::min(filter.limit, kPageSize) : kPageSize);
  const size_t limit = filter.limit > 0 ? filter.limit : SIZE_MAX;
  const auto stub = v1::CompressionService::NewStub(channel_);
  std::vector<v1::Job> jobs;
  do {
    grpc::ClientContext context;
    SetDeadline(kCallTimeout, &context);
    v1::ListJobsResponse response;
    RETURN_IF_ERROR(FromGrpcStatus(stub->ListJobs(&context, request, &response)));
    for (v1::Job& job : *response.mutable_jobs()) {
      if (jobs.size() < limit) jobs.push_back(std::move(job));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty() && jobs.size() < limit);
  return jobs;
}

absl::StatusOr<v1::Job> JobClient::Cancel(const std::string& name) {
  grpc::ClientContext context;
  SetDeadline(kCallTimeout, &context);
  v1::CancelJobRequest request;
  request.set_name(name);
  v1::Job job;
  const auto stub = v1::CompressionService::NewStub(channel_);
  RETURN_IF_ERROR(FromGrpcStatus(stub->CancelJob(&context, request, &job)));
  return job;
}

absl::Status JobClient::Delete(const std::string& name) {
  grpc::ClientContext context;
  SetDeadline(kCallTimeout, &context);
  v1::DeleteJobRequest request;
  request.set_name(name);
  google::protobuf::Empty response;
  const auto stub = v1::CompressionService::NewStub(channel_);
  return FromGrpcStatus(stub->DeleteJob(&context, request, &response));
}

absl::StatusOr<v1::Job> JobClient::Watch(
    const std::string& name, const WatchOptions& options,
    const std::function<absl::Status(const v1::JobEvent&)>& on_event) {
  const auto stub = v1::CompressionService::NewStub(channel_);
  RETURN_IF_ERROR(Watcher(stub.get(), name, options, on_event).Run());
  return Get(name);
}

std::string JobName(absl::string_view project, absl::string_view job) {
  if (absl::StartsWith(job, "projects/")) return std::string(job);
  return absl::StrCat(project, "/jobs/", job);
}

bool IsFinal(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

std::string NewRequestId() {
  std::random_device device;
  return absl::StrFormat("%08x%08x%08x%08x", device(), device(), device(), device());
}

}  // namespace topiary
