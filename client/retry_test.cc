#include "client/retry.h"

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

absl::Status BusyFor(int64_t seconds) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds);
  absl::Status status = absl::ResourceExhaustedError("busy");
  status.SetPayload(kRetryInfoUrl, absl::Cord(info.SerializeAsString()));
  return status;
}

BackoffOptions Quick(int max_failures) {
  BackoffOptions options;
  options.initial = options.maximum = absl::Microseconds(1);
  options.max_failures = max_failures;
  return options;
}

TEST(Retry, OnlyPassingTroubleIsTransient) {
  EXPECT_TRUE(IsTransient(absl::UnavailableError("")));
  EXPECT_TRUE(IsTransient(absl::DeadlineExceededError("")));
  EXPECT_TRUE(IsTransient(absl::AbortedError("")));
  EXPECT_FALSE(IsTransient(absl::OkStatus()));
  EXPECT_FALSE(IsTransient(absl::NotFoundError("")));
  EXPECT_FALSE(IsTransient(absl::InvalidArgumentError("")));
  EXPECT_FALSE(IsTransient(absl::ResourceExhaustedError("")));
}

TEST(Retry, RetryInfoOfTheServerMakesAnErrorTransient) {
  EXPECT_TRUE(IsTransient(BusyFor(3)));
  EXPECT_EQ(RequestedDelay(BusyFor(3)), absl::Seconds(3));
}

TEST(Retry, AbsurdDelaysOfTheServerAreBounded) {
  EXPECT_EQ(RequestedDelay(BusyFor(1 << 30)), absl::Minutes(1));
  EXPECT_EQ(RequestedDelay(BusyFor(-5)), absl::ZeroDuration());
}

TEST(Retry, ADamagedRetryInfoAsksForNoDelay) {
  absl::Status status = absl::UnavailableError("x");
  status.SetPayload(kRetryInfoUrl, absl::Cord("\xFF\xFF"));
  EXPECT_EQ(RequestedDelay(status), absl::ZeroDuration());
}

TEST(Retry, GivesBackTheErrorWhenTriesAreUsedUp) {
  Backoff backoff(Quick(2), 1);
  const absl::Status error = absl::UnavailableError("down");
  EXPECT_TRUE(WaitToRetry(error, &backoff, nullptr).ok());
  EXPECT_EQ(WaitToRetry(error, &backoff, nullptr), error);
}

TEST(Retry, DoesNotRepeatWhatCannotSucceed) {
  Backoff backoff(Quick(5), 1);
  const absl::Status error = absl::NotFoundError("no such job");
  EXPECT_EQ(WaitToRetry(error, &backoff, nullptr), error);
}

TEST(Retry, ACancelledWaitEndsAtOnce) {
  BackoffOptions options;
  options.initial = options.maximum = absl::Hours(1);
  Backoff backoff(options, 1);
  Cancellation cancellation;
  cancellation.Cancel();
  EXPECT_EQ(WaitToRetry(absl::UnavailableError("down"), &backoff, &cancellation).code(),
            absl::StatusCode::kCancelled);
}

TEST(Retry, AnnotatingKeepsCodeAndDetails) {
  const absl::Status status = Annotate(BusyFor(3), "upload of a.npz");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "upload of a.npz: busy");
  EXPECT_EQ(RequestedDelay(status), absl::Seconds(3));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

}  // namespace
}  // namespace topiary
