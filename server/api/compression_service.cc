#include "server/api/compression_service.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "server/api/dispatch.h"
#include "server/api/job_proto.h"
#include "server/api/request_validation.h"
#include "server/api/serialize.h"
#include "server/api/spec_defaults.h"
#include "server/api/watch_reactor.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

constexpr size_t kAttemptsShown = 100;
// Clients accept messages of 4 MiB unless they say otherwise.
constexpr size_t kMaxListBytes = 3 * 1024 * 1024;

// The name of the field that chooses the method; `spec` has its defaults.
const std::string& MethodLabel(const v1::CompressionSpec& spec) {
  return v1::CompressionSpec::descriptor()->FindFieldByNumber(spec.method_case())->name();
}

// About what the job takes in an answer; what is left out is small.
size_t BytesOf(const Job& job) {
  return job.spec.size() + job.result.size() + job.progress.size() + job.failure.message.size();
}

absl::Status MissingArtifact(const std::string& digest, const std::string& project) {
  return WithMetadata(WithReason(absl::FailedPreconditionError(
                                     absl::StrCat("artifact ", digest, " is not stored in project ",
                                                  project, ": upload it first")),
                                 kReasonArtifactMissing),
                      "digest", digest);
}

}  // namespace

absl::Status CompressionService::Answer(const Job& job, v1::Job* response) {
  ASSIGN_OR_RETURN(std::vector<Attempt> attempts, parts_.store->ListAttempts(job.name()));
  if (attempts.size() > kAttemptsShown) {
    attempts.erase(attempts.begin(), attempts.end() - kAttemptsShown);
  }
  ASSIGN_OR_RETURN(*response, ToProto(job, attempts));
  return absl::OkStatus();
}

absl::Status CompressionService::Preview(const Job& job, v1::Job* response) {
  for (const ArtifactReference& input : job.inputs) {
    const absl::Status found = parts_.store->GetArtifact(job.project, input.digest).status();
    if (absl::IsNotFound(found)) return MissingArtifact(input.digest, job.project);
    RETURN_IF_ERROR(found);
  }
  if (!response->mutable_spec()->ParseFromString(job.spec)) {
    return absl::InternalError("a spec cannot be read back");
  }
  return absl::OkStatus();
}

absl::Status CompressionService::Create(const v1::CreateJobRequest& request, v1::Job* response) {
  ASSIGN_OR_RETURN(const std::string project, RequireProject(request.parent(), "parent"));
  v1::CompressionSpec spec = request.spec();
  FillDefaults(&spec);
  const absl::Time now = parts_.store->Now();
  Job job = JobFromSpec(spec, now);
  job.project = project;
  job.request_id = request.request_id();
  job.request_digest = Sha256Hex(SerializeDeterministically(request));
  if (request.validate_only()) return Preview(job, response);

  job.id = parts_.new_job_id();
  job.uid = job.id;
  ASSIGN_OR_RETURN(const Job created, parts_.store->Insert(job, max_live_jobs_, now));
  if (created.id == job.id) {  // else it is the job that an earlier call with the request_id made
    parts_.metrics->CountSubmitted(MethodLabel(spec));
    LogInfo("job created", {{"job", ToString(created.name())}, {"method", MethodLabel(spec)}});
  }
  return Answer(created, response);
}

absl::Status CompressionService::List(const v1::ListJobsRequest& request,
                                      v1::ListJobsResponse* response) {
  JobQuery query;
  ASSIGN_OR_RETURN(query.project, RequireProject(request.parent(), "parent"));
  for (int i = 0; i < request.states_size(); ++i) {
    query.states.push_back(FromProto(request.states(i)));
  }
  query.labels.insert(request.labels().begin(), request.labels().end());
  query.page_size = PageSizeOf(request.page_size());
  query.page_token = request.page_token();
  while (true) {
    ASSIGN_OR_RETURN(const JobPage page, parts_.store->List(query));
    size_t bytes = 0;
    for (const Job& job : page.jobs) bytes += BytesOf(job);
    if (bytes > kMaxListBytes && query.page_size > 1) {
      query.page_size = (std::min<int>(query.page_size, page.jobs.size()) + 1) / 2;
      continue;
    }
    for (const Job& job : page.jobs) {
      ASSIGN_OR_RETURN(*response->add_jobs(), ToProto(job, {}));
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  }
}

grpc::ServerUnaryReactor* CompressionService::CreateJob(grpc::CallbackServerContext* context,
                                                        const v1::CreateJobRequest* request,
                                                        v1::Job* response) {
  return Dispatch(context, parts_.executor, ValidateCreateJob(*request),
                  [=] { return Create(*request, response); });
}

grpc::ServerUnaryReactor* CompressionService::GetJob(grpc::CallbackServerContext* context,
                                                     const v1::GetJobRequest* request,
                                                     v1::Job* response) {
  const absl::StatusOr<JobName> name = RequireJob(request->name());
  return Dispatch(context, parts_.executor, name.status(), [=]() -> absl::Status {
    ASSIGN_OR_RETURN(const Job job, parts_.store->Get(*name));
    return Answer(job, response);
  });
}

grpc::ServerUnaryReactor* CompressionService::ListJobs(grpc::CallbackServerContext* context,
                                                       const v1::ListJobsRequest* request,
                                                       v1::ListJobsResponse* response) {
  return Dispatch(context, parts_.executor, ValidateListJobs(*request),
                  [=] { return List(*request, response); });
}

grpc::ServerUnaryReactor* CompressionService::CancelJob(grpc::CallbackServerContext* context,
                                                        const v1::CancelJobRequest* request,
                                                        v1::Job* response) {
  const absl::StatusOr<JobName> name = RequireJob(request->name());
  return Dispatch(context, parts_.executor, name.status(), [=]() -> absl::Status {
    ASSIGN_OR_RETURN(const Job job, parts_.store->RequestCancel(*name, parts_.store->Now()));
    LogInfo("job cancellation requested",
            {{"job", ToString(*name)}, {"state", JobStateName(job.state)}});
    return Answer(job, response);
  });
}

grpc::ServerUnaryReactor* CompressionService::DeleteJob(grpc::CallbackServerContext* context,
                                                        const v1::DeleteJobRequest* request,
                                                        google::protobuf::Empty* /*response*/) {
  const absl::StatusOr<JobName> name = RequireJob(request->name());
  return Dispatch(context, parts_.executor, name.status(), [=]() -> absl::Status {
    RETURN_IF_ERROR(parts_.store->Delete(*name));
    LogInfo("job deleted", {{"job", ToString(*name)}});
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::JobEvent>* CompressionService::WatchJob(
    grpc::CallbackServerContext* /*context*/, const v1::WatchJobRequest* request) {
  const absl::Status valid = ValidateWatchJob(*request);
  const JobName name = ParseJobName(request->name()).value_or(JobName());
  auto reactor = std::make_shared<WatchReactor>(parts_.events, name, request->after_sequence(),
                                                parts_.executor, parts_.streams);
  return WatchReactor::Launch(std::move(reactor), valid, &WatchReactor::ReadEvents);
}

}  // namespace topiary
