#ifndef TOPIARY_CLIENT_TESTING_FAKE_COMPRESSION_SERVICE_H_
#define TOPIARY_CLIENT_TESTING_FAKE_COMPRESSION_SERVICE_H_

#include <map>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "topiary/v1/jobs.grpc.pb.h"

namespace topiary {

// CompressionService in memory: jobs stay in the state that the test gives them. Thread-safe.
class FakeCompressionService : public v1::CompressionService::Service {
 public:
  // The events of every job; the last one decides how the job stands.
  void SetEvents(std::vector<v1::JobEvent> events);
  // The next watch ends after so many events, with `status`.
  void EndNextWatchAfter(int events, grpc::Status status);
  // The next calls of CreateJob do their work and then fail with `status`, as if the answer got
  // lost.
  void LoseAnswersOfCreateJob(int count, grpc::Status status);

  int jobs() const;                            // Created so far.
  std::vector<int64_t> watched_after() const;  // after_sequence of each watch.
  std::string last_request_id() const;
  v1::ListJobsRequest last_list() const;

  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest*, v1::Job*) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                        v1::ListJobsResponse*) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest*, v1::Job*) override;
  grpc::Status DeleteJob(grpc::ServerContext*, const v1::DeleteJobRequest*,
                         google::protobuf::Empty*) override;
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::JobEvent>*) override;

 private:
  v1::JobState State() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, v1::Job> jobs_ ABSL_GUARDED_BY(mutex_);          // By name.
  std::map<std::string, std::string> requests_ ABSL_GUARDED_BY(mutex_);  // request_id -> name.
  std::vector<v1::JobEvent> events_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> watched_after_ ABSL_GUARDED_BY(mutex_);
  int end_watch_after_ ABSL_GUARDED_BY(mutex_) = -1;
  grpc::Status end_watch_with_ ABSL_GUARDED_BY(mutex_);
  int lost_answers_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::Status lost_status_ ABSL_GUARDED_BY(mutex_);
  std::string last_request_id_ ABSL_GUARDED_BY(mutex_);
  v1::ListJobsRequest last_list_ ABSL_GUARDED_BY(mutex_);
};

// Events for SetEvents().
v1::JobEvent StateEvent(int64_t sequence, v1::JobState state);
v1::JobEvent ProgressEvent(int64_t sequence, int64_t step);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_TESTING_FAKE_COMPRESSION_SERVICE_H_
