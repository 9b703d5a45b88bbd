#include "server/api/error_details.h"

#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

template <typename Detail>
std::optional<Detail> DetailOf(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  if (!payload.has_value()) return std::nullopt;
  Detail detail;
  EXPECT_TRUE(detail.ParseFromString(std::string(*payload)));
  return detail;
}

google::rpc::ErrorInfo InfoOf(const absl::Status& status) {
  return DetailOf<google::rpc::ErrorInfo>(status, kErrorInfoUrl).value();
}

TEST(ErrorDetails, OkStaysOk) { EXPECT_EQ(WithErrorDetails(absl::OkStatus()), absl::OkStatus()); }

TEST(ErrorDetails, ReasonAndMetadataBecomeErrorInfoAndOurPayloadsGo) {
  const absl::Status status = WithErrorDetails(WithMetadata(
      WithReason(absl::AbortedError("offset"), kReasonUploadOffset), "committedBytes", "42"));
  const google::rpc::ErrorInfo info = InfoOf(status);
  EXPECT_EQ(info.reason(), "UPLOAD_OFFSET_MISMATCH");
  EXPECT_EQ(info.domain(), "topiary.v1");
  EXPECT_EQ(info.metadata().at("committedBytes"), "42");
  status.ForEachPayload([](absl::string_view url, const absl::Cord&) {
    EXPECT_THAT(std::string(url), testing::StartsWith("type.googleapis.com/"));
  });
}

TEST(ErrorDetails, AnErrorWithoutReasonIsNamedAfterItsCode) {
  EXPECT_EQ(InfoOf(WithErrorDetails(absl::InternalError("x"))).reason(), "INTERNAL");
}

TEST(ErrorDetails, AMissingArtifactIsAPreconditionOnItsDigest) {
  const std::string digest(64, 'a');
  const auto failure = DetailOf<google::rpc::PreconditionFailure>(
      WithErrorDetails(
          WithMetadata(WithReason(absl::FailedPreconditionError("no"), kReasonArtifactMissing),
                       "digest", digest)),
      kPreconditionFailureUrl);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->violations(0).type(), "MISSING");
  EXPECT_EQ(failure->violations(0).subject(), digest);
}

TEST(ErrorDetails, AnArtifactInUseNamesTheJob) {
  const auto failure = DetailOf<google::rpc::PreconditionFailure>(
      WithErrorDetails(
          WithMetadata(WithReason(absl::FailedPreconditionError("no"), kReasonArtifactInUse), "job",
                       "projects/a/jobs/j")),
      kPreconditionFailureUrl);
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->violations(0).type(), "IN_USE");
  EXPECT_EQ(failure->violations(0).subject(), "projects/a/jobs/j");
}

TEST(ErrorDetails, AQuotaSaysWhichAndWhenToTryAgain) {
  const absl::Status status = WithErrorDetails(
      WithReason(absl::ResourceExhaustedError("project a has 5 jobs"), kReasonTooManyJobs));
  const auto quota = DetailOf<google::rpc::QuotaFailure>(status, kQuotaFailureUrl);
  ASSERT_TRUE(quota.has_value());
  EXPECT_EQ(quota->violations(0).description(), "project a has 5 jobs");
  EXPECT_TRUE(DetailOf<google::rpc::RetryInfo>(status, kRetryInfoUrl).has_value());
}

TEST(ErrorDetails, ABusyServerIsNoQuotaButWorthARetry) {
  const absl::Status status =
      WithErrorDetails(WithReason(absl::ResourceExhaustedError("busy"), kReasonServerBusy));
  EXPECT_FALSE(DetailOf<google::rpc::QuotaFailure>(status, kQuotaFailureUrl).has_value());
  EXPECT_TRUE(DetailOf<google::rpc::RetryInfo>(status, kRetryInfoUrl).has_value());
}

TEST(ErrorDetails, AnArtifactThatIsTooLargeIsNotWorthARetry) {
  const absl::Status status =
      WithErrorDetails(WithReason(absl::ResourceExhaustedError("big"), kReasonArtifactTooLarge));
  EXPECT_FALSE(DetailOf<google::rpc::RetryInfo>(status, kRetryInfoUrl).has_value());
}

TEST(ErrorDetails, UnavailableIsWorthARetry) {
  const auto retry = DetailOf<google::rpc::RetryInfo>(
      WithErrorDetails(WithReason(absl::UnavailableError("draining"), kReasonDraining)),
      kRetryInfoUrl);
  ASSERT_TRUE(retry.has_value());
  EXPECT_EQ(retry->retry_delay().seconds(), 1);
}

}  // namespace
}  // namespace topiary
