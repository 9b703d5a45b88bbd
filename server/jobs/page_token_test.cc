#include "server/jobs/page_token.h"

#include <gtest/gtest.h>

#include "common/status_matchers.h"

namespace topiary {
namespace {

TEST(PageToken, ComesBackAsTheCursorItWasMadeOf) {
  const PageCursor cursor{absl::FromUnixMicros(1234567), "job:with:colons"};
  ASSERT_OK_AND_ASSIGN(const PageCursor back,
                       DecodePageToken(EncodePageToken(cursor, "query"), "query"));
  EXPECT_EQ(back.create_time, cursor.create_time);
  EXPECT_EQ(back.id, cursor.id);
}

TEST(PageToken, EmptyIsTheBeginning) {
  ASSERT_OK_AND_ASSIGN(const PageCursor cursor, DecodePageToken("", "query"));
  EXPECT_EQ(cursor.create_time, absl::InfiniteFuture());
}

TEST(PageToken, IsGoodForItsOwnQueryOnly) {
  const std::string token = EncodePageToken({absl::UnixEpoch(), "a"}, "project one");
  EXPECT_THAT(DecodePageToken(token, "project two"),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("page_token")));
}

class MalformedPageToken : public testing::TestWithParam<const char*> {};
TEST_P(MalformedPageToken, IsRefused) {
  EXPECT_THAT(DecodePageToken(GetParam(), "query"), StatusIs(absl::StatusCode::kInvalidArgument));
}
INSTANTIATE_TEST_SUITE_P(All, MalformedPageToken,
                         testing::Values("*", "AAAA", "a", "Ojo", "MDowOjA="));

}  // namespace
}  // namespace topiary
