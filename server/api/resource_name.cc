#include "server/api/resource_name.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/digest.h"

namespace topiary {
namespace {

constexpr size_t kMaxNameBytes = 256;

bool IsLowerId(absl::string_view id) {
  if (id.empty() || id.size() > 63) return false;
  if (!absl::ascii_islower(id.front()) || id.back() == '-') return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

bool IsUploadId(absl::string_view id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-';
  });
}

// The project and the last part of "projects/{project}/{collection}/{last}".
std::optional<std::pair<std::string, std::string>> ParseInProject(absl::string_view name,
                                                                  absl::string_view collection) {
  if (name.size() > kMaxNameBytes) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "projects" || parts[2] != collection) return std::nullopt;
  if (!IsLowerId(parts[1])) return std::nullopt;
  return std::make_pair(std::string(parts[1]), std::string(parts[3]));
}

}  // namespace

std::optional<std::string> ParseProjectName(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "projects/") || !IsLowerId(name)) return std::nullopt;
  return std::string(name);
}

std::optional<JobName> ParseJobName(absl::string_view name) {
  auto parsed = ParseInProject(name, "jobs");
  if (!parsed.has_value() || !IsLowerId(parsed->second)) return std::nullopt;
  return JobName{parsed->first, parsed->second};
}

std::optional<ArtifactName> ParseArtifactName(absl::string_view name) {
  auto parsed = ParseInProject(name, "artifacts");
  if (!parsed.has_value() || !IsSha256Hex(parsed->second)) return std::nullopt;
  return ArtifactName{parsed->first, parsed->second};
}

std::string FormatArtifactName(absl::string_view project, absl::string_view digest) {
  return absl::StrCat("projects/", project, "/artifacts/", digest);
}

std::optional<UploadName> ParseUploadName(absl::string_view name) {
  auto parsed = ParseInProject(name, "uploads");
  if (!parsed.has_value() || !IsUploadId(parsed->second)) return std::nullopt;
  return UploadName{parsed->first, parsed->second};
}

std::string FormatUploadName(absl::string_view project, absl::string_view id) {
  return absl::StrCat("projects/", project, "/uploads/", id);
}

bool IsWorkerId(absl::string_view id) {
  if (id.empty() || id.size() > 128) return false;
  if (!absl::ascii_isalnum(id.front()) || !absl::ascii_isalnum(id.back())) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

std::optional<std::string> ParseWorkerName(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "workers/") || !IsWorkerId(name)) return std::nullopt;
  return std::string(name);
}

std::string FormatWorkerName(absl::string_view id) { return absl::StrCat("workers/", id); }

}  // namespace topiary
