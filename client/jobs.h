#ifndef TOPIARY_CLIENT_JOBS_H_
#define TOPIARY_CLIENT_JOBS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/backoff.h"
#include "client/cancellation.h"
#include "topiary/v1/jobs.pb.h"

namespace grpc {
class Channel;
}

namespace topiary {

struct JobFilter {
  std::vector<v1::JobState> states;           // Empty: any.
  std::map<std::string, std::string> labels;  // All of them.
  std::string parent_job;                     // Only the children of this sweep, named in full.
  bool include_children = false;              // Of sweeps; without parent_job.
  int limit = 0;                              // At most so many, the newest; 0: all.
};

struct WatchOptions {
  int64_t after_sequence = 0;            // Only events after this one.
  Cancellation* cancellation = nullptr;  // May be null.
  // Between tries after the connection was lost; an event starts the count anew.
  BackoffOptions backoff;
  // A stream is opened anew after this long, so that every call has a deadline.
  absl::Duration stream_timeout = absl::Hours(1);
};

// Compression jobs of one project at one coordinator; see topiary/v1/jobs.proto for what the
// messages mean. Jobs are named in full ("projects/p/jobs/j"): see JobName().
//
// Errors are those of the server with their google.rpc details; UNAVAILABLE and DEADLINE_EXCEEDED
// when it was not reached. Thread-safe; each call blocks its thread.
class JobClient {
 public:
  // `project`: "projects/p".
  JobClient(std::shared_ptr<grpc::Channel> channel, std::string project);

  // Creates a job, or a sweep and its children. With an empty `request_id` one is made up, so that
  // the call can be repeated, as it is when the answer is lost, and still makes one job.
  absl::StatusOr<v1::Job> Submit(const v1::CompressionSpec& spec,
                                 absl::string_view request_id = "");

  // The job as Submit() would make it, defaults filled in; makes none.
  absl::StatusOr<v1::Job> Validate(const v1::CompressionSpec& spec);

  absl::StatusOr<v1::Job> Get(const std::string& name);

  // All pages, newest first.
  absl::StatusOr<std::vector<v1::Job>> List(const JobFilter& filter);

  absl::StatusOr<v1::Job> Cancel(const std::string& name);
  absl::Status Delete(const std::string& name);

  // Calls `on_event` for each event in order, on the calling thread, until the job has ended, and
  // returns the job. After a lost connection it goes on behind the last event it has seen, so that
  // none comes twice. An error of `on_event` ends the watch and is returned.
  absl::StatusOr<v1::Job> Watch(const std::string& name, const WatchOptions& options,
                                const std::function<absl::Status(const v1::JobEvent&)>& on_event);

 private:
  absl::StatusOr<v1::Job> Create(v1::CreateJobRequest request);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::string project_;
};

// "projects/p/jobs/j" from "j" in `project`; a full name stays as it is.
std::string JobName(absl::string_view project, absl::string_view job);

// True for SUCCEEDED, FAILED and CANCELLED.
bool IsFinal(v1::JobState state);

// A fresh request_id: 32 hexadecimal digits.
std::string NewRequestId();

}  // namespace topiary

#endif  // TOPIARY_CLIENT_JOBS_H_
