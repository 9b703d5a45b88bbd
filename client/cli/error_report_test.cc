#include "client/cli/error_report.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace topiary {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void Attach(const google::protobuf::Message& detail, absl::Status* status) {
  status->SetPayload(absl::StrCat("type.googleapis.com/", detail.GetDescriptor()->full_name()),
                     absl::Cord(detail.SerializeAsString()));
}

absl::Status WithReason(absl::StatusCode code, const std::string& reason) {
  absl::Status status(code, "what happened");
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  Attach(info, &status);
  return status;
}

absl::Status TwoWrongFields() {
  absl::Status status = WithReason(absl::StatusCode::kInvalidArgument, "INVALID_REQUEST");
  google::rpc::BadRequest request;
  auto* first = request.add_field_violations();
  first->set_field("spec.target.sparsity");
  first->set_description("must lie in (0, 1)");
  auto* second = request.add_field_violations();
  second->set_field("spec.task.epochs");
  second->set_description("must be at least 1");
  Attach(request, &status);
  return status;
}

TEST(ErrorText, ListsEachWrongFieldOnItsLine) {
  EXPECT_EQ(ErrorText(TwoWrongFields(), "s:1"),
            "topiary: what happened\n"
            "  spec.target.sparsity: must lie in (0, 1)\n"
            "  spec.task.epochs: must be at least 1\n");
}

TEST(ErrorText, AViolationThatIsTheMessageIsNotRepeated) {
  absl::Status status(absl::StatusCode::kInvalidArgument, "name: must not be empty");
  google::rpc::BadRequest request;
  request.add_field_violations()->set_field("name");
  request.mutable_field_violations(0)->set_description("must not be empty");
  Attach(request, &status);
  EXPECT_EQ(ErrorText(status, "s"), "topiary: name: must not be empty\n");
}

TEST(ErrorText, AnUnreachableServerIsNamedWithTheWaysOut) {
  const std::string text = ErrorText(absl::UnavailableError("refused"), "localhost:7070");
  EXPECT_THAT(text, HasSubstr("cannot be reached"));
  EXPECT_THAT(text, HasSubstr("localhost:7070"));
  EXPECT_THAT(text, HasSubstr("topiary-server"));
  EXPECT_THAT(text, HasSubstr("topiary run"));
}

TEST(ErrorText, AServerThatAnswersUnavailableWasReached) {
  const std::string text = ErrorText(WithReason(absl::StatusCode::kUnavailable, "DRAINING"), "s");
  EXPECT_THAT(text, Not(HasSubstr("cannot be reached")));
}

struct AdviceCase {
  absl::StatusCode code;
  const char* reason;
  const char* advice;
};

class Advices : public testing::TestWithParam<AdviceCase> {};

TEST_P(Advices, FollowTheReason) {
  EXPECT_THAT(ErrorText(WithReason(GetParam().code, GetParam().reason), "s"),
              HasSubstr(GetParam().advice));
}

INSTANTIATE_TEST_SUITE_P(ErrorText, Advices,
                         testing::Values(AdviceCase{absl::StatusCode::kFailedPrecondition,
                                                    "ARTIFACT_MISSING", "topiary artifact put"},
                                         AdviceCase{absl::StatusCode::kFailedPrecondition,
                                                    "JOB_NOT_FINISHED", "topiary cancel"},
                                         AdviceCase{absl::StatusCode::kNotFound, "JOB_NOT_FOUND",
                                                    "topiary list"},
                                         AdviceCase{absl::StatusCode::kAlreadyExists,
                                                    "REQUEST_ID_REUSED", "--request-id"}));

TEST(ErrorText, TextOfOthersCannotDriveTheTerminal) {
  EXPECT_THAT(ErrorText(absl::InternalError("\x1B]0;owned\x07"), "s"), Not(HasSubstr("\x1B")));
}

TEST(ErrorJson, HasCodeReasonAndViolations) {
  const nlohmann::json error = nlohmann::json::parse(ErrorJson(TwoWrongFields()))["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(error["reason"], "INVALID_REQUEST");
  EXPECT_EQ(error["exit_code"], 5);
  EXPECT_EQ(error["violations"][1]["subject"], "spec.task.epochs");
}

TEST(ErrorJson, IsValidWhateverBytesTheMessageHas) {
  EXPECT_TRUE(nlohmann::json::accept(ErrorJson(absl::InternalError("\xFF\xFE"))));
}

TEST(ErrorJson, AUsageErrorHasItsOwnExitCode) {
  EXPECT_EQ(nlohmann::json::parse(ErrorJson(UsageError("x")))["error"]["exit_code"], 2);
}

}  // namespace
}  // namespace topiary
