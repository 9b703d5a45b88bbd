#include "server/api/compression_service.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/digest.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "server/api/dispatch.h"
#include "server/api/job_proto.h"
#include "server/api/request_validation.h"
#include "server/api/serialize.h"
#include "server/api/spec_defaults.h"
#include "server/api/sweep_children.h"
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

Job NewJob(const v1::CompressionSpec& spec, const std::string& project, const std::string& id,
           absl::Time now) {
  Job job = JobFromSpec(spec, now);
  job.project = project;
  job.id = job.uid = id;
  return job;
}

// The jobs that the sweep `id` stands for.
std::vector<Job> ChildrenOf(const v1::CompressionSpec& spec, const std::string& project,
                            const std::string& id, absl::Time now) {
  v1::CompressionSpec common = spec;
  common.clear_sweep();
  std::vector<Job> children;
  const int64_t count = CountCombinations(spec.sweep());
  for (int64_t i = 0; i < count; ++i) {
    v1::CompressionSpec child = ChildSpec(common, spec.sweep(), EntriesOf(spec.sweep(), i));
    FillDefaults(&child);
    children.push_back(NewJob(child, project, absl::StrFormat("%s-%04d", id, i + 1), now));
  }
  return children;
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

absl::Status CompressionService::Preview(const Job& job, int children, v1::Job* response) {
  for (const ArtifactReference& input : job.inputs) {
    const absl::Status found = parts_.store->GetArtifact(job.project, input.digest).status();
    if (absl::IsNotFound(found)) return MissingArtifact(input.digest, job.project);
    RETURN_IF_ERROR(found);
  }
  if (!response->mutable_spec()->ParseFromString(job.spec)) {
    return absl::InternalError("a spec cannot be read back");
  }
  if (children > 0) response->mutable_children()->set_total(children);
  return absl::OkStatus();
}

absl::Status CompressionService::Create(const v1::CreateJobRequest& request, v1::Job* response) {
  RETURN_IF_ERROR(ValidateCreateJob(request));
  ASSIGN_OR_RETURN(const std::string project, RequireProject(request.parent(), "parent"));
  const absl::Time now = parts_.store->Now();
  const std::string id = parts_.new_job_id();
  std::vector<Job> children;
  v1::CompressionSpec spec = request.spec();
  if (spec.has_sweep()) {
    children = ChildrenOf(request.spec(), project, id, now);
  } else {
    FillDefaults(&spec);
  }
  Job job = NewJob(spec, project, id, now);
  job.request_id = request.request_id();
  job.request_digest = Sha256Hex(SerializeDeterministically(request));
  if (request.validate_only()) return Preview(job, static_cast<int>(children.size()), response);

  ASSIGN_OR_RETURN(const Job created,
                   children.empty()
                       ? parts_.store->Insert(job, max_live_jobs_, now)
                       : parts_.store->InsertSweep(job, children, max_live_jobs_, now));
  // Else it is the job that an earlier call with the request_id made.
  if (created.id == job.id) NoteCreated(created, spec);
  return Answer(created, response);
}

void CompressionService::NoteCreated(const Job& job, const v1::CompressionSpec& spec) {
  const std::string method = spec.has_sweep() ? "sweep" : MethodLabel(spec);
  parts_.metrics->CountSubmitted(method);
  LogInfo("job created", {{"job", ToString(job.name())}, {"method", method}});
  if (!spec.has_sweep()) return;
  // A child's method is that of its entry, or of the sweep where there are no entries.
  v1::CompressionSpec filled = spec;
  filled.clear_sweep();
  for (int i = 0; i < job.children; ++i) {
    const int entry = EntriesOf(spec.sweep(), i).method;
    if (entry < 0) FillDefaults(&filled);
    parts_.metrics->CountSubmitted(MethodLabel(entry < 0 ? filled : spec.sweep().methods(entry)));
  }
}

absl::Status CompressionService::List(const v1::ListJobsRequest& request,
                                      v1::ListJobsResponse* response) {
  JobQuery query;
  ASSIGN_OR_RETURN(query.project, RequireProject(request.parent(), "parent"));
  for (int i = 0; i < request.states_size(); ++i) {
    query.states.push_back(FromProto(request.states(i)));
  }
  query.labels.insert(request.labels().begin(), request.labels().end());
  if (!request.parent_job().empty()) {
    query.parent = ParseJobName(request.parent_job()).value_or(JobName()).job;
  }
  query.include_children = request.include_children();
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
  // To validate a sweep takes too long for gRPC's threads.
  return Dispatch(context, parts_.executor, absl::OkStatus(),
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
