#include "client/cli/exit_code.h"

#include "client/local_file.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

struct ExitCodeCase {
  absl::StatusCode status;
  ExitCode exit;
};

class ExitCodes : public testing::TestWithParam<ExitCodeCase> {};

TEST_P(ExitCodes, FollowTheStatusOfTheCall) {
  EXPECT_EQ(ExitCodeOf(absl::Status(GetParam().status, "why")), GetParam().exit);
}

INSTANTIATE_TEST_SUITE_P(
    Documented, ExitCodes,
    testing::Values(ExitCodeCase{absl::StatusCode::kUnavailable, ExitCode::kUnreachable},
                    ExitCodeCase{absl::StatusCode::kDeadlineExceeded, ExitCode::kUnreachable},
                    ExitCodeCase{absl::StatusCode::kNotFound, ExitCode::kNotFound},
                    ExitCodeCase{absl::StatusCode::kInvalidArgument, ExitCode::kRefused},
                    ExitCodeCase{absl::StatusCode::kResourceExhausted, ExitCode::kRefused},
                    ExitCodeCase{absl::StatusCode::kDataLoss, ExitCode::kFailed},
                    ExitCodeCase{absl::StatusCode::kCancelled, ExitCode::kInterrupted}));

TEST(ExitCode, SuccessIsZero) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), ExitCode::kOk);
  EXPECT_EQ(static_cast<int>(ExitCode::kOk), 0);
}

TEST(ExitCode, AMistakeInTheCommandLineIsNotTheServersRefusal) {
  EXPECT_EQ(ExitCodeOf(UsageError("--block needs ROWSxCOLS")), ExitCode::kUsage);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("from the server")), ExitCode::kRefused);
}

class LocalFileExitCodes : public testing::TestWithParam<ExitCodeCase> {};

TEST_P(LocalFileExitCodes, BlameNoServer) {
  EXPECT_EQ(ExitCodeOf(LocalFileError(absl::Status(GetParam().status, "why"))), GetParam().exit);
}

INSTANTIATE_TEST_SUITE_P(
    Documented, LocalFileExitCodes,
    testing::Values(ExitCodeCase{absl::StatusCode::kOk, ExitCode::kOk},
                    ExitCodeCase{absl::StatusCode::kNotFound, ExitCode::kNotFound},
                    ExitCodeCase{absl::StatusCode::kInvalidArgument, ExitCode::kUsage},
                    ExitCodeCase{absl::StatusCode::kUnimplemented, ExitCode::kUsage},
                    ExitCodeCase{absl::StatusCode::kResourceExhausted, ExitCode::kFailed},
                    ExitCodeCase{absl::StatusCode::kPermissionDenied, ExitCode::kFailed},
                    ExitCodeCase{absl::StatusCode::kUnavailable, ExitCode::kFailed},
                    ExitCodeCase{absl::StatusCode::kDataLoss, ExitCode::kFailed}));

}  // namespace
}  // namespace topiary
