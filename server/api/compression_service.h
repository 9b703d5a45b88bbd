#ifndef TOPIARY_SERVER_API_COMPRESSION_SERVICE_H_
#define TOPIARY_SERVER_API_COMPRESSION_SERVICE_H_

#include <functional>
#include <string>

#include "server/api/executor.h"
#include "server/api/stream_registry.h"
#include "server/jobs/metadata_store.h"
#include "server/metrics/server_metrics.h"
#include "server/scheduling/job_events.h"
#include "topiary/v1/jobs.grpc.pb.h"

namespace topiary {

// Jobs, as proto/topiary/v1/jobs.proto describes them. Thread-safe.
class CompressionService : public v1::CompressionService::CallbackService {
 public:
  struct Parts {  // all must outlive the service
    MetadataStore* store;
    JobEvents* events;
    Executor* executor;
    StreamRegistry* streams;
    ServerMetrics* metrics;
    std::function<std::string()> new_job_id;  // [a-z]([a-z0-9-]{0,61}[a-z0-9])?, never the same
  };

  // A project may have `max_live_jobs` that have not ended.
  CompressionService(const Parts& parts, int max_live_jobs)
      : parts_(parts), max_live_jobs_(max_live_jobs) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context,
                                      const v1::DeleteJobRequest* request,
                                      google::protobuf::Empty* response) override;
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext* context,
                                                   const v1::WatchJobRequest* request) override;

 private:
  // These block on the store.
  absl::Status Create(const v1::CreateJobRequest& request, v1::Job* response);
  // `children` of a sweep; 0: it is none.
  absl::Status Preview(const Job& job, int children, v1::Job* response);
  absl::Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse* response);
  absl::Status Answer(const Job& job, v1::Job* response);
  // Counts and logs a job that was just made.
  void NoteCreated(const Job& job, const v1::CompressionSpec& spec);

  const Parts parts_;
  const int max_live_jobs_;
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_COMPRESSION_SERVICE_H_
