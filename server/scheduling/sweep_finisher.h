#ifndef TOPIARY_SERVER_SCHEDULING_SWEEP_FINISHER_H_
#define TOPIARY_SERVER_SCHEDULING_SWEEP_FINISHER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/artifacts/artifact_repository.h"
#include "server/jobs/job_store.h"

namespace topiary {

// What compares the children of a sweep.
struct SweepReport {
  std::string json;    // the bytes of its only file
  std::string digest;  // their SHA-256
  std::string result;  // opaque, names the file
};

// Ends sweeps whose children have all ended. What is to be done is in the store, and each step may
// be repeated, so that a coordinator that was killed between any two of them does the rest when it
// is back. All it remembers is which sweeps to leave alone for a while. One thread at a time;
// blocks on both stores.
class SweepFinisher {
 public:
  // Given a sweep and all of its children. The same ones must give the same report. What it throws
  // counts as a failure.
  using MakeReport = std::function<SweepReport(const Job& sweep, const std::vector<Job>& children)>;

  // Pointers must outlive the finisher.
  SweepFinisher(JobStore* store, ArtifactRepository* artifacts, MakeReport make_report);

  // Stores the report of each sweep that waits for it, then ends the sweep. To be called now and
  // then. Goes on after an error and returns the first; a sweep with which something failed is
  // tried again after kRetryInterval, and does not stand in the way of others until then.
  absl::Status FinishEnded();
  static constexpr absl::Duration kRetryInterval = absl::Minutes(1);

 private:
  absl::Status Finish(const JobName& name);
  absl::Status TryToFinish(const JobName& name);

  JobStore* const store_;
  ArtifactRepository* const artifacts_;
  const MakeReport make_report_;
  std::map<JobName, absl::Time> retries_;  // When to try again those that failed.
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_SCHEDULING_SWEEP_FINISHER_H_
