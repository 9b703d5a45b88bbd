#include "common/grpc_status.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

constexpr char kErrorInfo[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kBadRequest[] = "type.googleapis.com/google.rpc.BadRequest";

TEST(GrpcStatus, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

class EveryCode : public testing::TestWithParam<int> {};

TEST_P(EveryCode, SurvivesBothWays) {
  const absl::Status status(static_cast<absl::StatusCode>(GetParam()), "what went wrong");
  const grpc::Status wire = ToGrpcStatus(status);
  EXPECT_EQ(wire.error_code(), GetParam());
  EXPECT_EQ(wire.error_message(), "what went wrong");
  EXPECT_EQ(FromGrpcStatus(wire), status);
}

INSTANTIATE_TEST_SUITE_P(Codes, EveryCode, testing::Range(1, 17));

TEST(GrpcStatus, DetailsTravelInTheTrailerThatOtherLanguagesRead) {
  google::rpc::ErrorInfo info;
  info.set_reason("JOB_NOT_FOUND");
  absl::Status status = absl::NotFoundError("no job");
  status.SetPayload(kErrorInfo, absl::Cord(info.SerializeAsString()));

  const grpc::Status wire = ToGrpcStatus(status);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), 5);
  EXPECT_EQ(details.message(), "no job");
  google::rpc::ErrorInfo unpacked;
  ASSERT_EQ(details.details_size(), 1);
  ASSERT_TRUE(details.details(0).UnpackTo(&unpacked));
  EXPECT_EQ(unpacked.reason(), "JOB_NOT_FOUND");
  EXPECT_EQ(FromGrpcStatus(wire), status);
}

TEST(GrpcStatus, PayloadsOfOurOwnStayBehind) {
  absl::Status status = absl::NotFoundError("no job");
  status.SetPayload("topiary/reason", absl::Cord("JOB_NOT_FOUND"));
  EXPECT_EQ(ToGrpcStatus(status).error_details(), "");
}

TEST(GrpcStatus, DetailsTooLargeForTrailersAreLeftOutLargestFirst) {
  absl::Status status = absl::InvalidArgumentError("bad");
  status.SetPayload(kBadRequest, absl::Cord(std::string(kMaxStatusDetailsBytes, 'x')));
  status.SetPayload(kErrorInfo, absl::Cord("small"));
  const absl::Status back = FromGrpcStatus(ToGrpcStatus(status));
  EXPECT_FALSE(back.GetPayload(kBadRequest).has_value());
  EXPECT_EQ(back.GetPayload(kErrorInfo), absl::Cord("small"));
}

TEST(GrpcStatus, LongMessagesAreCutBetweenCharacters) {
  std::string message;
  while (message.size() < 2 * kMaxStatusMessageBytes) absl::StrAppend(&message, "ü");
  const std::string cut = ToGrpcStatus(absl::InternalError(message)).error_message();
  EXPECT_LE(cut.size(), static_cast<size_t>(kMaxStatusMessageBytes));
  EXPECT_THAT(cut, testing::EndsWith("ü..."));
}

TEST(GrpcStatus, BytesThatAreNotUtf8AreReplaced) {
  EXPECT_EQ(ToGrpcStatus(absl::InternalError("a\xff"
                                             "b\xc3"))
                .error_message(),
            "a?b?");
}

TEST(GrpcStatus, DetailsThatAreNoStatusAreDropped) {
  const absl::Status status =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::INTERNAL, "m", "\xff\xff not a message"));
  EXPECT_EQ(status, absl::InternalError("m"));
}

}  // namespace
}  // namespace topiary
