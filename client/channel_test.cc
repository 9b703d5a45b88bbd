#include "client/channel.h"

#include "common/status_matchers.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "topiary/v1/admin.pb.h"
#include "topiary/v1/artifacts.pb.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {
namespace {

TEST(Channel, AnEmptyTargetIsRefused) {
  ChannelOptions options;
  options.target = "";
  EXPECT_THAT(NewChannel(options), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Channel, RetriesOnlyUnaryMethodsThatExistAndNeverDeletions) {
  const nlohmann::json config = nlohmann::json::parse(RetryServiceConfig());
  ASSERT_EQ(config["methodConfig"].size(), 1u);
  // Naming a message of each file links its descriptor.
  v1::Job::descriptor();
  v1::Artifact::descriptor();
  v1::Worker::descriptor();
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const nlohmann::json& name : config["methodConfig"][0]["name"]) {
    const std::string full =
        name["service"].get<std::string>() + "." + name["method"].get<std::string>();
    const google::protobuf::MethodDescriptor* method = pool->FindMethodByName(full);
    ASSERT_NE(method, nullptr) << full;
    EXPECT_FALSE(method->client_streaming() || method->server_streaming()) << full;
    EXPECT_EQ(method->name().find("Delete"), std::string::npos) << full;
  }
}

TEST(Channel, RetriesOnlyUnavailableAndAtMostFiveTimes) {
  const nlohmann::json policy =
      nlohmann::json::parse(RetryServiceConfig())["methodConfig"][0]["retryPolicy"];
  EXPECT_EQ(policy["maxAttempts"], 5);
  EXPECT_EQ(policy["retryableStatusCodes"], nlohmann::json::array({"UNAVAILABLE"}));
}

}  // namespace
}  // namespace topiary
