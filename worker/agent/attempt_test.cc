#include "worker/agent/attempt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <string>
#include <variant>

#include "common/digest.h"
#include "worker/agent/testing/agent_fixture.h"

namespace topiary {
namespace {

using testing::HasSubstr;

// Attempts as an agent runs them: what the coordinator hears of their end.
using AttemptTest = AgentTest;

TEST_F(AttemptTest, AFaultOfTheSpecIsNotWorthARetry) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt&, JobObserver*) -> absl::StatusOr<JobOutcome> {
        return absl::UnimplementedError("operator Foo of node \xff\xfe");
      },
      1);
  const v1::Failure& failure = job.last.outcome().failed();
  EXPECT_FALSE(failure.retryable());
  EXPECT_EQ(failure.error().code(), static_cast<int>(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(failure.error().message(), HasSubstr("operator Foo of node \\xff\\xfe"));
}

TEST_F(AttemptTest, ABoundThatNothingMeetsIsAFailureWithFiles) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt& attempt, JobObserver* observer) -> absl::StatusOr<JobOutcome> {
        absl::StatusOr<JobOutcome> outcome = WriteReport(attempt, observer);
        outcome->bound_missed = "no pruned model is good enough";
        return outcome;
      },
      1);
  const v1::Failure& failure = job.last.outcome().failed();
  EXPECT_FALSE(failure.retryable());
  EXPECT_EQ(failure.reason(), v1::JOB_REASON_ACCURACY_BOUND);
  EXPECT_EQ(failure.error().code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(failure.error().message(), "no pruned model is good enough");
  ASSERT_EQ(failure.result().files_size(), 1);
  EXPECT_EQ(failure.result().files(0).kind(), v1::ResultFile::REPORT);
}

// Of an attempt that fails by what its files hold.
absl::StatusOr<JobOutcome> FindFault(const JobAttempt& attempt, JobObserver*) {
  return absl::InvalidArgumentError(std::get<NpzSourceSpec>(attempt.spec.data.train).path +
                                    ": no array 'x'; " + attempt.spec.model_path + ": no graph; " +
                                    attempt.checkpoint_path + ": cut; " + attempt.work_folder +
                                    "/report.json: full");
}

TEST_F(AttemptTest, ErrorsNameTheClientsFilesAndNotThisMachines) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  coordinator.Store("the data", "größe.npz");
  job.lease.set_checkpoint_digest(coordinator.Store("state at step 7", "checkpoint"));
  RunAgent(&coordinator, FindFault, 1);
  EXPECT_EQ(job.last.outcome().failed().error().message(),
            "größe.npz (artifact " + Sha256Hex("the data") +
                "): no array 'x'; model/nets/model.onnx: no graph; checkpoint (artifact " +
                Sha256Hex("state at step 7") + "): cut; work/report.json: full");
}

TEST_F(AttemptTest, WhereNamesCannotBeHadErrorsNameDigests) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  job.lease.set_checkpoint_digest(coordinator.Store("state at step 7"));
  RunAgent(&coordinator, FindFault, 1);
  EXPECT_EQ(job.last.outcome().failed().error().message(),
            "artifact " + Sha256Hex("the data") +
                ": no array 'x'; model/nets/model.onnx: no graph; artifact " +
                Sha256Hex("state at step 7") + ": cut; work/report.json: full");
}

TEST_F(AttemptTest, ATransientFailureIsWorthARetry) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt&, JobObserver*) -> absl::StatusOr<JobOutcome> {
        return absl::InternalError("disk");
      },
      1);
  EXPECT_TRUE(job.last.outcome().failed().retryable());
}

TEST_F(AttemptTest, RunningOutOfMemoryFailsTheAttemptNotTheWorker) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  RunAgent(
      &coordinator,
      [](const JobAttempt&, JobObserver*) -> absl::StatusOr<JobOutcome> { throw std::bad_alloc(); },
      1);
  EXPECT_EQ(job.last.outcome().failed().error().code(),
            static_cast<int>(absl::StatusCode::kResourceExhausted));
}

TEST_F(AttemptTest, AMissingArtifactFailsTheJobAndNamesIt) {
  OneJob job;
  FakeCoordinator coordinator(
      [&job](const auto& request, Cancellation*) { return job.Answer(request); });
  job.lease = LeaseOf("j", &coordinator);
  const std::string missing = Sha256Hex("never stored");
  job.lease.mutable_spec()->mutable_data()->mutable_train()->mutable_npz()->set_digest(missing);
  RunAgent(&coordinator, WriteReport, 1);
  EXPECT_EQ(job.last.outcome().failed().error().code(),
            static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(job.last.outcome().failed().error().message(), HasSubstr(missing));
}

}  // namespace
}  // namespace topiary
