#ifndef TOPIARY_SERVER_JOBS_METADATA_STORE_CONFORMANCE_H_
#define TOPIARY_SERVER_JOBS_METADATA_STORE_CONFORMANCE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "server/jobs/metadata_store.h"

namespace topiary {

// How to make the store under test: empty, with nothing shared with any made before.
struct MetadataStoreFactory {
  std::string name;
  std::function<std::unique_ptr<MetadataStore>(Clock*)> make;
};

// What every MetadataStore must do. An implementation's test file links the suites and adds
//   INSTANTIATE_TEST_SUITE_P(Sqlite, JobStoreConformance, testing::Values(...));
// and the same for the others.
class MetadataStoreTest : public testing::TestWithParam<MetadataStoreFactory> {
 protected:
  MetadataStoreTest() : store_(GetParam().make(&clock_)) {}

  absl::Time now() { return clock_.Now(); }

  // A job of project "p" without inputs.
  static Job NewJob(const std::string& id);
  Job Insert(const std::string& id);
  Job Insert(const Job& job);
  // A sweep `id` of `children` children, `id`-0001 and so on.
  Job InsertSweep(const std::string& id, int children);
  static std::string ChildId(const std::string& sweep, int number);
  // Leases the job for 30 s and returns the attempt.
  AttemptName Acquire(const std::string& id, const std::string& worker = "w");
  Job Get(const std::string& id);
  // 64 hexadecimal digits, the same for the same seed.
  static std::string Digest(int seed);
  // Stores an artifact's record of `size` bytes.
  Artifact AddArtifact(const std::string& project, const std::string& digest,
                       ArtifactKind kind = ArtifactKind::kModel, int64_t size = 10);
  absl::Status RecordCheckpoint(const AttemptName& attempt, int seed, int64_t step);
  std::vector<JobEvent> Events(const std::string& id, int64_t after = 0);
  UpdateResult Report(const AttemptName& attempt, const std::string& progress);

  static AttemptOutcome Succeeded();
  static AttemptOutcome Failed(bool retryable = true);
  static AttemptOutcome HandedBack();
  static AttemptOutcome Stopped();

  FakeClock clock_;
  std::unique_ptr<MetadataStore> store_;
};

class JobStoreConformance : public MetadataStoreTest {};
class LeaseConformance : public MetadataStoreTest {};
class JobEventsConformance : public MetadataStoreTest {};
class ArtifactCatalogConformance : public MetadataStoreTest {};
class SweepConformance : public MetadataStoreTest {};
class MetadataStoreModelTest : public MetadataStoreTest {};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_METADATA_STORE_CONFORMANCE_H_
