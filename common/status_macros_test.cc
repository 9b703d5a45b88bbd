#include "common/status_macros.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>

#include "common/status_matchers.h"

namespace topiary {
namespace {

absl::StatusOr<std::unique_ptr<int>> Make(bool fail) {
  if (fail) return absl::NotFoundError("nothing to make");
  return std::make_unique<int>(7);
}

absl::Status RunSteps(bool fail, bool* reached) {
  RETURN_IF_ERROR(Make(fail).status());
  *reached = true;
  return absl::OkStatus();
}

absl::StatusOr<int> Sum(bool fail_second) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> first, Make(false));
  ASSIGN_OR_RETURN(std::unique_ptr<int> second, Make(fail_second));
  return *first + *second;
}

absl::StatusOr<size_t> CountPairs() {
  ASSIGN_OR_RETURN(const auto pairs, absl::StatusOr<std::map<int, int>>({{1, 2}, {3, 4}}));
  return pairs.size();
}

TEST(ReturnIfError, ReturnsTheErrorAndNothingElse) {
  bool reached = false;
  EXPECT_THAT(RunSteps(true, &reached), StatusIs(absl::StatusCode::kNotFound, "nothing to make"));
  EXPECT_FALSE(reached);
  EXPECT_OK(RunSteps(false, &reached));
  EXPECT_TRUE(reached);
}

TEST(AssignOrReturn, MovesTheValueOutOrReturnsTheError) {
  EXPECT_THAT(Sum(false), IsOkAndHolds(14));
  EXPECT_THAT(Sum(true), StatusIs(absl::StatusCode::kNotFound));
}

TEST(AssignOrReturn, TakesExpressionsWithCommas) {
  EXPECT_THAT(CountPairs(), IsOkAndHolds(size_t{2}));
}

TEST(StatusMatchers, TellErrorsFromValues) {
  EXPECT_THAT(Make(false), IsOk());
  EXPECT_THAT(Make(true), testing::Not(IsOk()));
  EXPECT_THAT(Make(true), testing::Not(StatusIs(absl::StatusCode::kNotFound, "another message")));
  EXPECT_THAT(Sum(true), testing::Not(IsOkAndHolds(14)));
  EXPECT_THAT(Sum(false), IsOkAndHolds(testing::Gt(13)));
}

}  // namespace
}  // namespace topiary
