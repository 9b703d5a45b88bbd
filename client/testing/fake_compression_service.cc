#include "client/testing/fake_compression_service.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

grpc::Status NoSuchJob(const std::string& name) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("there is no ", name)};
}

}  // namespace

v1::JobEvent StateEvent(int64_t sequence, v1::JobState state) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_state_change()->set_state(state);
  return event;
}

v1::JobEvent ProgressEvent(int64_t sequence, int64_t step) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_progress()->set_step(step);
  return event;
}

void FakeCompressionService::SetEvents(std::vector<v1::JobEvent> events) {
  MutexLock lock(&mutex_);
  events_ = std::move(events);
}

void FakeCompressionService::EndNextWatchAfter(int events, grpc::Status status) {
  MutexLock lock(&mutex_);
  end_watch_after_ = events;
  end_watch_with_ = std::move(status);
}

void FakeCompressionService::LoseAnswersOfCreateJob(int count, grpc::Status status) {
  MutexLock lock(&mutex_);
  lost_answers_ = count;
  lost_status_ = std::move(status);
}

int FakeCompressionService::jobs() const {
  MutexLock lock(&mutex_);
  return static_cast<int>(jobs_.size());
}

std::vector<int64_t> FakeCompressionService::watched_after() const {
  MutexLock lock(&mutex_);
  return watched_after_;
}

std::string FakeCompressionService::last_request_id() const {
  MutexLock lock(&mutex_);
  return last_request_id_;
}

v1::ListJobsRequest FakeCompressionService::last_list() const {
  MutexLock lock(&mutex_);
  return last_list_;
}

v1::JobState FakeCompressionService::State() const {
  v1::JobState state = v1::JOB_STATE_QUEUED;
  for (const v1::JobEvent& event : events_) {
    if (event.has_state_change()) state = event.state_change().state();
  }
  return state;
}

grpc::Status FakeCompressionService::CreateJob(grpc::ServerContext*,
                                               const v1::CreateJobRequest* request,
                                               v1::Job* response) {
  MutexLock lock(&mutex_);
  last_request_id_ = request->request_id();
  *response->mutable_spec() = request->spec();
  if (request->validate_only()) return grpc::Status::OK;
  std::string& name = requests_[request->request_id()];
  if (name.empty()) name = absl::StrCat(request->parent(), "/jobs/j", jobs_.size() + 1);
  response->set_name(name);
  response->set_state(State());
  jobs_[name] = *response;
  if (lost_answers_ > 0) {
    --lost_answers_;
    return lost_status_;
  }
  return grpc::Status::OK;
}

grpc::Status FakeCompressionService::GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                                            v1::Job* response) {
  MutexLock lock(&mutex_);
  const auto found = jobs_.find(request->name());
  if (found == jobs_.end()) return NoSuchJob(request->name());
  *response = found->second;
  response->set_state(State());
  return grpc::Status::OK;
}

grpc::Status FakeCompressionService::ListJobs(grpc::ServerContext*,
                                              const v1::ListJobsRequest* request,
                                              v1::ListJobsResponse* response) {
  MutexLock lock(&mutex_);
  last_list_ = *request;
  size_t at = 0;
  if (!absl::SimpleAtoi(request->page_token(), &at)) at = 0;
  size_t index = 0;
  for (const auto& [name, job] : jobs_) {
    if (index >= at && response->jobs_size() < request->page_size()) *response->add_jobs() = job;
    ++index;
  }
  at += response->jobs_size();
  if (at < jobs_.size()) response->set_next_page_token(absl::StrCat(at));
  return grpc::Status::OK;
}

grpc::Status FakeCompressionService::CancelJob(grpc::ServerContext*,
                                               const v1::CancelJobRequest* request,
                                               v1::Job* response) {
  MutexLock lock(&mutex_);
  const auto found = jobs_.find(request->name());
  if (found == jobs_.end()) return NoSuchJob(request->name());
  found->second.set_cancel_requested(true);
  *response = found->second;
  return grpc::Status::OK;
}

grpc::Status FakeCompressionService::DeleteJob(grpc::ServerContext*,
                                               const v1::DeleteJobRequest* request,
                                               google::protobuf::Empty*) {
  MutexLock lock(&mutex_);
  return jobs_.erase(request->name()) > 0 ? grpc::Status::OK : NoSuchJob(request->name());
}

grpc::Status FakeCompressionService::WatchJob(grpc::ServerContext*,
                                              const v1::WatchJobRequest* request,
                                              grpc::ServerWriter<v1::JobEvent>* writer) {
  std::vector<v1::JobEvent> events;
  int left = -1;
  grpc::Status status;
  {
    MutexLock lock(&mutex_);
    if (jobs_.count(request->name()) == 0) return NoSuchJob(request->name());
    watched_after_.push_back(request->after_sequence());
    events = events_;
    left = std::exchange(end_watch_after_, -1);
    status = left >= 0 ? end_watch_with_ : grpc::Status::OK;
  }
  for (const v1::JobEvent& event : events) {
    if (event.sequence() <= request->after_sequence()) continue;
    if (left-- == 0) return status;
    writer->Write(event);
  }
  return status;
}

}  // namespace topiary
