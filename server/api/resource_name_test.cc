#include "server/api/resource_name.h"

#include <string>

#include "gtest/gtest.h"

namespace topiary {
namespace {

TEST(ResourceName, NamesAreReadAndWritten) {
  EXPECT_EQ(ParseProjectName("projects/vision-2"), "vision-2");
  EXPECT_EQ(ParseJobName("projects/a/jobs/j1"), (JobName{"a", "j1"}));
  EXPECT_EQ(ToString(JobName{"a", "j1"}), "projects/a/jobs/j1");
  const std::string digest(64, 'f');
  EXPECT_EQ(ParseArtifactName(FormatArtifactName("a", digest))->digest, digest);
  EXPECT_EQ(ParseUploadName(FormatUploadName("a", "U_1-x"))->id, "U_1-x");
  EXPECT_EQ(ParseWorkerName(FormatWorkerName("host.7")), "host.7");
}

class MalformedJobName : public testing::TestWithParam<const char*> {};

TEST_P(MalformedJobName, IsNoName) { EXPECT_FALSE(ParseJobName(GetParam()).has_value()); }

INSTANTIATE_TEST_SUITE_P(Names, MalformedJobName,
                         testing::Values("", "jobs/j", "projects/a/jobs/", "projects//jobs/j",
                                         "projects/a/jobs/j/", "projects/a/jobs/j/k",
                                         "/projects/a/jobs/j", "projects/A/jobs/j",
                                         "projects/1a/jobs/j", "projects/a-/jobs/j",
                                         "projects/a/artifacts/j", "projects/a/jobs/..",
                                         "projects/a/jobs/j%2f", "projects/a b/jobs/j"));

TEST(ResourceName, LongAndStrangeIdsAreRefused) {
  EXPECT_TRUE(ParseProjectName("projects/" + std::string(63, 'a')).has_value());
  EXPECT_FALSE(ParseProjectName("projects/" + std::string(64, 'a')).has_value());
  EXPECT_FALSE(ParseArtifactName("projects/a/artifacts/" + std::string(63, 'f')).has_value());
  EXPECT_FALSE(ParseArtifactName("projects/a/artifacts/" + std::string(64, 'g')).has_value());
  EXPECT_FALSE(ParseUploadName("projects/a/uploads/../x").has_value());
  EXPECT_FALSE(ParseUploadName("projects/a/uploads/" + std::string(65, 'x')).has_value());
  EXPECT_TRUE(IsWorkerId(std::string(128, 'w')));
  EXPECT_FALSE(IsWorkerId(std::string(129, 'w')));
  EXPECT_FALSE(IsWorkerId(".w"));
  EXPECT_FALSE(IsWorkerId("w\n"));
  EXPECT_FALSE(IsWorkerId(""));
}

}  // namespace
}  // namespace topiary
