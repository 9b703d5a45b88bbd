#include "common/metrics_exposer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <prometheus/counter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "common/status_matchers.h"
#include "common/version.h"

namespace topiary {
namespace {

using testing::HasSubstr;

// The answer to GET /metrics at `port` of this machine.
std::string Scrape(int port) {
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  if (file < 0) {
    ADD_FAILURE() << "no socket: " << std::strerror(errno);
    return "";
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(file, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
    EXPECT_EQ(send(file, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(file, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(file);
  return answer;
}

TEST(MetricsExposer, ServesTheRegistryAndTheProcess) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter()
      .Name("topiary_things_total")
      .Help("Things.")
      .Register(*registry)
      .Add({{"kind", "red"}});
  AddBuildInfo(registry.get(), {{"component", "test"}});
  ASSERT_OK_AND_ASSIGN(auto exposer, MetricsExposer::Start("127.0.0.1:0", registry));
  const std::string page = Scrape(exposer->port());
  EXPECT_THAT(page, HasSubstr("200 OK"));
  EXPECT_THAT(page, HasSubstr("topiary_things_total{kind=\"red\"} 0"));
  EXPECT_THAT(page, HasSubstr(std::string("version=\"") + kVersion + "\""));
  EXPECT_THAT(page, HasSubstr("component=\"test\""));
  for (const char* name :
       {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
        "process_max_fds", "process_threads", "process_start_time_seconds"}) {
    EXPECT_THAT(page, HasSubstr(std::string("\n") + name + " "));
  }
}

TEST(MetricsExposer, ATakenPortIsAnErrorThatNamesIt) {
  auto registry = std::make_shared<prometheus::Registry>();
  ASSERT_OK_AND_ASSIGN(auto exposer, MetricsExposer::Start("127.0.0.1:0", registry));
  const std::string address = "127.0.0.1:" + std::to_string(exposer->port());
  EXPECT_THAT(MetricsExposer::Start(address, registry),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address)));
}

TEST(MetricsExposer, AnAddressThatIsNoneIsAnError) {
  auto registry = std::make_shared<prometheus::Registry>();
  EXPECT_FALSE(MetricsExposer::Start("not an address", registry).ok());
}

}  // namespace
}  // namespace topiary
