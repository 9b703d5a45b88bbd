#include "common/grpc_status.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/utf8.h"
#include "google/rpc/status.pb.h"

namespace topiary {
namespace {

constexpr char kTypeUrlPrefix[] = "type.googleapis.com/";

// `message` as valid UTF-8 of at most kMaxStatusMessageBytes.
std::string CleanMessage(absl::string_view message) {
  std::string clean;
  while (!message.empty()) {
    const size_t length = Utf8SequenceLength(message);
    const absl::string_view next = length == 0 ? "?" : message.substr(0, length);
    if (clean.size() + next.size() > kMaxStatusMessageBytes - 3) {
      return absl::StrCat(clean, "...");
    }
    absl::StrAppend(&clean, next);
    message.remove_prefix(std::max<size_t>(length, 1));
  }
  return clean;
}

using Detail = std::pair<std::string, std::string>;  // type URL, serialized message

std::vector<Detail> DetailsOf(const absl::Status& status) {
  std::vector<Detail> details;
  size_t bytes = 0;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    if (!absl::StartsWith(url, kTypeUrlPrefix)) return;
    details.emplace_back(url, std::string(payload));
    bytes += url.size() + payload.size();
  });
  // Smallest first: a fixed order, and the largest are the ones to go.
  std::sort(details.begin(), details.end(), [](const Detail& a, const Detail& b) {
    return a.second.size() != b.second.size() ? a.second.size() < b.second.size() : a < b;
  });
  while (bytes > kMaxStatusDetailsBytes) {
    bytes -= details.back().first.size() + details.back().second.size();
    details.pop_back();
  }
  return details;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message = CleanMessage(status.message());
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  for (Detail& detail : DetailsOf(status)) {
    auto* any = details.add_details();
    any->set_type_url(std::move(detail.first));
    any->set_value(std::move(detail.second));
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.details().empty() ? "" : details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const auto& any : details.details()) {
    result.SetPayload(any.type_url(), absl::Cord(any.value()));
  }
  return result;
}

}  // namespace topiary
