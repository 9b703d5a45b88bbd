#ifndef TOPIARY_CLIENT_CLI_JOB_VIEW_H_
#define TOPIARY_CLIENT_CLI_JOB_VIEW_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/progress_bar.h"
#include "topiary/v1/admin.pb.h"
#include "topiary/v1/artifacts.pb.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// Messages as text for people. Pure; times are shown in `zone`, ages against `now`. Everything that
// others wrote is made printable.

// "j-7" of "projects/p/jobs/j-7".
std::string ShortName(const std::string& name);

// A job with its attempts, progress, error, result files and metrics.
std::string JobText(const v1::Job& job, absl::TimeZone zone);

// One row per job.
std::string JobTable(const std::vector<v1::Job>& jobs, absl::Time now);

// "12:03:04  running  leased, attempt 1 on worker w".
std::string StateLine(const v1::JobEvent& event, absl::TimeZone zone);

// What the bar shows of `progress`; what it cannot tell is taken from `before`.
ProgressView ViewOf(const v1::Progress& progress, const ProgressView& before);

std::string ArtifactTable(const std::vector<v1::Artifact>& artifacts, absl::Time now);
std::string WorkerTable(const std::vector<v1::Worker>& workers, absl::Time now);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_JOB_VIEW_H_
