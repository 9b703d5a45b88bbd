#ifndef TOPIARY_CLIENT_CLI_SUBMISSION_H_
#define TOPIARY_CLIENT_CLI_SUBMISSION_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/exit_code.h"
#include "client/cli/job_flags.h"
#include "client/cli/session.h"
#include "client/data_files.h"
#include "client/model_files.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// A job as the command line describes it, before anything was sent.
struct JobInputs {
  v1::CompressionSpec spec;           // Without the digests of the files below.
  std::vector<LocalModelFile> model;  // Empty: the spec names uploaded ones.
  std::optional<LocalDataSource> train;
  std::optional<LocalDataSource> evaluation;
};

// Reads the spec file and lays the flags over it; finds and checks the files they name.
// A usage error if there is no model or no data in either.
absl::StatusOr<JobInputs> ReadInputs(const JobFlags& flags);

// Uploads the files and writes their digests into `inputs->spec`.
absl::Status UploadInputs(const JobFlags& flags, Session* session, JobInputs* inputs);

// Watches the job to its end. Events are shown, but not in JSON output unless `json_events`.
// CANCELLED when the session is; the job goes on.
absl::StatusOr<v1::Job> WatchToEnd(Session* session, const std::string& name,
                                   int64_t after_sequence, bool json_events);

// Makes the folder for DownloadResult(), before anything costs time. An empty name is none.
absl::Status PrepareDownload(const std::string& folder);

// Writes the job's result files into `folder`, which exists. Those of a sweep's children go to
// folders of the children's names in it.
absl::Status DownloadResult(Session* session, const v1::Job& job, const std::string& folder);

// Prints a job, with the SweepDetails of a sweep.
void ShowJob(const Session& session, const v1::Job& job, const std::string& details);

// The same of a job that has ended; says with what to exit.
ExitCode ShowEndedJob(const Session& session, const v1::Job& job, const std::string& details);

// True for a name that names a file in a folder and nothing outside of it.
bool IsPlainFilename(absl::string_view name);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SUBMISSION_H_
