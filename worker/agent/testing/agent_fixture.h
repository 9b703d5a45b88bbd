// An agent and all it talks to, in one process, for tests.
#ifndef TOPIARY_WORKER_AGENT_TESTING_AGENT_FIXTURE_H_
#define TOPIARY_WORKER_AGENT_TESTING_AGENT_FIXTURE_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/mutex.h"
#include "worker/agent/agent.h"
#include "worker/agent/coordinator.h"
#include "worker/pipeline/job_runner.h"

namespace topiary {

// Plays the coordinator: a test scripts the answer to each report.
class FakeCoordinator : public Coordinator {
 public:
  using Answer = std::function<absl::StatusOr<v1::SynchronizeResponse>(
      const v1::SynchronizeRequest&, Cancellation*)>;

  explicit FakeCoordinator(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<v1::SynchronizeResponse> Synchronize(const v1::SynchronizeRequest& request,
                                                      absl::Duration,
                                                      Cancellation* cancellation) override {
    return answer_(request, cancellation);
  }

  absl::Status Download(const std::string&, const std::string& digest, const std::string& path,
                        Cancellation*) override {
    MutexLock lock(&mutex_);
    const auto found = stored_.find(digest);
    if (found == stored_.end()) return absl::NotFoundError("no artifact " + digest);
    return WriteFileAtomically(path, found->second);
  }

  absl::StatusOr<v1::Artifact> Upload(const std::string& project, const std::string& path,
                                      v1::ArtifactKind kind, const std::string&, int,
                                      Cancellation*) override {
    absl::StatusOr<std::string> bytes = ReadFile(path);
    if (!bytes.ok()) return bytes.status();
    MutexLock lock(&mutex_);
    projects_.push_back(project);
    const std::string digest = Sha256Hex(*bytes);
    v1::Artifact artifact;
    artifact.set_digest(digest);
    artifact.set_size_bytes(bytes->size());
    artifact.set_kind(kind);
    stored_[digest] = *std::move(bytes);
    return artifact;
  }

  absl::StatusOr<std::string> DisplayName(const std::string&, const std::string& digest,
                                          Cancellation*) override {
    MutexLock lock(&mutex_);
    const auto found = names_.find(digest);
    if (found == names_.end()) return absl::UnavailableError("cannot be reached");
    return found->second;
  }

  // Of these bytes, which can then be downloaded. Without a name, DisplayName() fails.
  std::string Store(const std::string& bytes, const std::string& name = "") {
    MutexLock lock(&mutex_);
    const std::string digest = Sha256Hex(bytes);
    stored_[digest] = bytes;
    if (!name.empty()) names_[digest] = name;
    return digest;
  }
  // Of the uploads.
  std::vector<std::string> projects() {
    MutexLock lock(&mutex_);
    return projects_;
  }

 private:
  const Answer answer_;
  Mutex mutex_;
  std::map<std::string, std::string> stored_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> names_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> projects_ ABSL_GUARDED_BY(mutex_);
};

class FakeRunner : public JobRunner {
 public:
  using Body = std::function<absl::StatusOr<JobOutcome>(const JobAttempt&, JobObserver*)>;
  explicit FakeRunner(Body body) : body_(std::move(body)) {}
  absl::StatusOr<JobOutcome> Run(const JobAttempt& attempt, JobObserver* observer) override {
    return body_(attempt, observer);
  }

 private:
  const Body body_;
};

// Runs until it is told otherwise, as training does.
absl::StatusOr<JobOutcome> TrainUntilTold(const JobAttempt& attempt, JobObserver* observer);

// Reports step 10, the fourth of this attempt, and leaves a report.
absl::StatusOr<JobOutcome> WriteReport(const JobAttempt& attempt, JobObserver* observer);

class AgentTest : public testing::Test {
 protected:
  AgentTest()
      : folder_(testing::TempDir() + "/" +
                testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    backoff_.initial = absl::Milliseconds(1);
    backoff_.maximum = absl::Milliseconds(2);
  }

  // Of attempt 3 of the job "projects/p/jobs/<job>", with a stored model and data.
  v1::Lease LeaseOf(const std::string& job, FakeCoordinator* coordinator);

  // Runs an agent with `slots` until it returns; `use`, on this thread, meanwhile.
  void RunAgent(FakeCoordinator* coordinator, FakeRunner::Body body, int slots,
                const std::function<void(Agent*)>& use = {});

  BackoffOptions backoff_;  // Of the agents that RunAgent() runs: milliseconds.
  const std::string folder_;
  double counted_steps_ = -1;  // What the last RunAgent() left in topiary_training_steps_total.
};

// An answer without orders or leases.
v1::SynchronizeResponse Next(absl::Duration wait = absl::Milliseconds(10));

void Order(const v1::AttemptReport& report, v1::AttemptOrder::Action action,
           v1::SynchronizeResponse* response);

// Leases one job, keeps the last report of it, forgets it when it has an outcome, then drains.
struct OneJob {
  v1::Lease lease;
  bool leased = false;
  bool done = false;
  v1::AttemptReport last;
  // May change the answer to a report of an attempt that runs.
  std::function<void(const v1::AttemptReport&, v1::SynchronizeResponse*)> running;

  v1::SynchronizeResponse Answer(const v1::SynchronizeRequest& request);
};

}  // namespace topiary

#endif  // TOPIARY_WORKER_AGENT_TESTING_AGENT_FIXTURE_H_
