#include "server/api/request_validation.h"

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "server/api/error_details.h"

namespace topiary {
namespace {

using google::protobuf::TextFormat;
using testing::Contains;
using testing::IsEmpty;
using testing::SizeIs;

// The fields that an INVALID_ARGUMENT names; none for OK.
std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  if (status.ok()) return fields;
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  google::rpc::BadRequest bad_request;
  EXPECT_TRUE(bad_request.ParseFromString(
      std::string(status.GetPayload(kBadRequestUrl).value_or(absl::Cord()))));
  for (const auto& violation : bad_request.field_violations()) fields.push_back(violation.field());
  return fields;
}

template <typename Request>
Request FromText(const std::string& text) {
  Request request;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// The request of `text`, changed by `more`.
template <typename Request>
Request Changed(const std::string& text, const std::string& more) {
  Request request = FromText<Request>(text);
  EXPECT_TRUE(TextFormat::MergeFromString(more, &request)) << more;
  return request;
}

struct RequestCase {
  const char* name;
  std::function<absl::Status()> validate;
  const char* field;
};

class RefusedRequest : public testing::TestWithParam<RequestCase> {};

TEST_P(RefusedRequest, NamesTheField) {
  EXPECT_THAT(FieldsOf(GetParam().validate()), Contains(GetParam().field));
}

constexpr char kShortestCreate[] = R"(
  parent: "projects/a"
  spec {
    model { files { path: "m.onnx"
      digest: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" } }
    data { train { npz {
      digest: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" } } }
    target { sparsity: 0.9 }
  })";

absl::Status Create(const std::string& more) {
  return ValidateCreateJob(Changed<v1::CreateJobRequest>(kShortestCreate, more));
}

absl::Status ListJobs(const std::string& more) {
  return ValidateListJobs(Changed<v1::ListJobsRequest>("parent: 'projects/a'", more));
}

absl::Status BeginUpload(const std::string& more) {
  return ValidateBeginUpload(Changed<v1::BeginUploadRequest>(
      "parent: 'projects/a' kind: ARTIFACT_KIND_DATA "
      "digest: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
      more));
}

TEST(RequestValidation, GoodRequestsAreAccepted) {
  EXPECT_OK(Create(""));
  EXPECT_OK(Create("request_id: 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'"));
  EXPECT_OK(Create("validate_only: true"));
  EXPECT_OK(ListJobs("page_size: 1000 states: JOB_STATE_QUEUED labels { key: 'a' value: 'b' }"));
  EXPECT_OK(ListJobs("parent_job: 'projects/a/jobs/s' states: JOB_STATE_FAILED"));
  EXPECT_OK(ListJobs("include_children: true"));
  EXPECT_OK(BeginUpload("size_bytes: 0 display_name: 'Modell für Äpfel.onnx'"));
}

TEST(RequestValidation, AJobRequestWithAFieldThatIsNotKnownIsRefused) {
  auto request = FromText<v1::CreateJobRequest>(kShortestCreate);
  v1::CreateJobRequest::GetReflection()->MutableUnknownFields(&request)->AddVarint(9, 1);
  EXPECT_THAT(FieldsOf(ValidateCreateJob(request)), Contains("9"));
}

// More is wrong than an answer has room for: what is wrong with the spec still keeps it from being
// taken for a sound one.
TEST(RequestValidation, ASweepWithoutMethodsBehindManyUnknownFieldsIsRefused) {
  auto request = FromText<v1::CreateJobRequest>(kShortestCreate);
  for (int i = 0; i < 20; ++i) {
    v1::CreateJobRequest::GetReflection()->MutableUnknownFields(&request)->AddVarint(9 + i, 1);
  }
  request.mutable_spec()->Clear();
  request.mutable_spec()->mutable_sweep()->add_methods();
  request.mutable_spec()->mutable_sweep()->add_methods();
  EXPECT_THAT(FieldsOf(ValidateCreateJob(request)), SizeIs(FieldViolations::kMax));
}

INSTANTIATE_TEST_SUITE_P(
    Jobs, RefusedRequest,
    testing::Values(
        RequestCase{"CreateWithoutParent", [] { return ValidateCreateJob(v1::CreateJobRequest()); },
                    "parent"},
        RequestCase{"RequestIdWithASpace", [] { return Create("request_id: 'a b'"); },
                    "request_id"},
        RequestCase{"LongRequestId",
                    [] { return Create("request_id: '" + std::string(65, 'x') + "'"); },
                    "request_id"},
        RequestCase{"DryRunWithARequestId",
                    [] { return Create("validate_only: true request_id: 'x'"); }, "request_id"},
        RequestCase{"WrongSpec", [] { return Create("spec { priority: 1000 }"); }, "spec.priority"},
        RequestCase{"NegativePageSize", [] { return ListJobs("page_size: -1"); }, "page_size"},
        RequestCase{"HugePageSize", [] { return ListJobs("page_size: 1001"); }, "page_size"},
        RequestCase{"HugePageToken",
                    [] { return ListJobs("page_token: '" + std::string(2000, 'x') + "'"); },
                    "page_token"},
        RequestCase{"UnspecifiedState", [] { return ListJobs("states: JOB_STATE_UNSPECIFIED"); },
                    "states[0]"},
        RequestCase{"UnknownState", [] { return ListJobs("states: [JOB_STATE_QUEUED, 42]"); },
                    "states[1]"},
        RequestCase{"ChildrenOfNoJob", [] { return ListJobs("parent_job: 'projects/a'"); },
                    "parent_job"},
        RequestCase{"ChildrenInAnotherProject",
                    [] { return ListJobs("parent_job: 'projects/b/jobs/s'"); }, "parent_job"},
        RequestCase{
            "ChildrenTwice",
            [] { return ListJobs("parent_job: 'projects/a/jobs/s' include_children: true"); },
            "include_children"},
        RequestCase{"WatchFromBeforeTheBeginning",
                    [] {
                      return ValidateWatchJob(FromText<v1::WatchJobRequest>(
                          "name: 'projects/a/jobs/j' after_sequence: -1"));
                    },
                    "after_sequence"},
        RequestCase{"WatchNothing", [] { return ValidateWatchJob(v1::WatchJobRequest()); }, "name"},
        RequestCase{"JobNameOfAnArtifact",
                    [] { return RequireJob("projects/a/artifacts/x").status(); }, "name"}),
    [](const testing::TestParamInfo<RequestCase>& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Artifacts, RefusedRequest,
    testing::Values(
        RequestCase{"NegativeSize", [] { return BeginUpload("size_bytes: -1"); }, "size_bytes"},
        RequestCase{"UnspecifiedKind",
                    [] { return BeginUpload("kind: ARTIFACT_KIND_UNSPECIFIED"); }, "kind"},
        RequestCase{"UnknownKind", [] { return BeginUpload("kind: 99"); }, "kind"},
        RequestCase{"DigestThatIsNone", [] { return BeginUpload("digest: 'abc'"); }, "digest"},
        RequestCase{"DisplayNameWithANewline", [] { return BeginUpload("display_name: 'a\\nb'"); },
                    "display_name"},
        RequestCase{
            "ReadBeforeTheBeginning",
            [] { return ValidateReadArtifact(FromText<v1::ReadArtifactRequest>("offset: -5")); },
            "offset"},
        RequestCase{"ReadLessThanNothing",
                    [] {
                      return ValidateReadArtifact(
                          FromText<v1::ReadArtifactRequest>("limit_bytes: -5"));
                    },
                    "limit_bytes"},
        RequestCase{"ListUnspecifiedKind",
                    [] {
                      return ValidateListArtifacts(FromText<v1::ListArtifactsRequest>(
                          "parent: 'projects/a' kinds: ARTIFACT_KIND_UNSPECIFIED"));
                    },
                    "kinds[0]"},
        RequestCase{"ArtifactWithoutDigest",
                    [] { return RequireArtifact("projects/a/artifacts/model").status(); }, "name"},
        RequestCase{"UploadThatClimbs",
                    [] { return RequireUpload("projects/a/uploads/..").status(); }, "name"}),
    [](const testing::TestParamInfo<RequestCase>& info) { return info.param.name; });

// ---- Synchronize
// ------------------------------------------------------------------------------------

constexpr char kIdleWorker[] = R"(
  worker_id: "w-1" free_slots: 1
  capabilities { slots: 2 threads: 1 isa: "avx2" onednn_version: "3.2.0" devices: CPU })";

constexpr char kRunningAttempt[] = R"(
  attempts { job: "projects/a/jobs/j" attempt: 1 token: "secret" phase: RUNNING
             progress { phase: "dense" step: 3 total_steps: 10 loss: nan } })";

absl::Status Synchronize(const std::string& more) {
  return ValidateSynchronize(
      Changed<v1::SynchronizeRequest>(absl::StrCat(kIdleWorker, kRunningAttempt), more));
}

// The running attempt, changed.
absl::Status SynchronizeAttempt(const std::string& change) {
  auto request = FromText<v1::SynchronizeRequest>(absl::StrCat(kIdleWorker, kRunningAttempt));
  EXPECT_TRUE(TextFormat::MergeFromString(change, request.mutable_attempts(0))) << change;
  return ValidateSynchronize(request);
}

TEST(WorkerValidation, ADivergedLossIsNoReasonToRefuseAReport) {
  EXPECT_THAT(FieldsOf(Synchronize("")), IsEmpty());
}

TEST(WorkerValidation, EveryOutcomeIsAcceptedInPhaseFinished) {
  for (const char* outcome :
       {"succeeded {}", "failed { error { code: 3 } }", "handed_back {}", "stopped {}"}) {
    EXPECT_OK(SynchronizeAttempt(absl::StrCat("phase: FINISHED outcome { ", outcome, " }")));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Workers, RefusedRequest,
    testing::Values(
        RequestCase{"NoWorkerId", [] { return ValidateSynchronize(v1::SynchronizeRequest()); },
                    "worker_id"},
        RequestCase{"WorkerIdWithASlash", [] { return Synchronize("worker_id: 'a/b'"); },
                    "worker_id"},
        RequestCase{"NoSlots", [] { return Synchronize("capabilities { slots: 0 }"); },
                    "capabilities.slots"},
        RequestCase{"ManyThreads", [] { return Synchronize("capabilities { threads: 100000 }"); },
                    "capabilities.threads"},
        RequestCase{"UnknownDevice", [] { return Synchronize("capabilities { devices: 5 }"); },
                    "capabilities.devices[1]"},
        RequestCase{"NegativeFreeSlots", [] { return Synchronize("free_slots: -1"); },
                    "free_slots"},
        RequestCase{"HungryWhileDraining", [] { return Synchronize("draining: true"); },
                    "free_slots"},
        RequestCase{"LongPoll", [] { return Synchronize("poll_timeout { seconds: 61 }"); },
                    "poll_timeout"},
        RequestCase{"NegativePoll", [] { return Synchronize("poll_timeout { seconds: -1 }"); },
                    "poll_timeout"},
        RequestCase{"SameAttemptTwice", [] { return Synchronize(kRunningAttempt); },
                    "attempts[1].job"},
        RequestCase{"JobWithoutProject", [] { return SynchronizeAttempt("job: 'j'"); },
                    "attempts[0].job"},
        RequestCase{"AttemptZero", [] { return SynchronizeAttempt("attempt: -1"); },
                    "attempts[0].attempt"},
        RequestCase{"HugeToken",
                    [] { return SynchronizeAttempt("token: '" + std::string(500, 't') + "'"); },
                    "attempts[0].token"},
        RequestCase{"UnknownPhase", [] { return SynchronizeAttempt("phase: 77"); },
                    "attempts[0].phase"},
        RequestCase{"OutcomeWhileRunning",
                    [] { return SynchronizeAttempt("outcome { stopped {} }"); },
                    "attempts[0].outcome"},
        RequestCase{"FinishedWithoutOutcome", [] { return SynchronizeAttempt("phase: FINISHED"); },
                    "attempts[0].outcome"},
        RequestCase{"EmptyOutcome", [] { return SynchronizeAttempt("phase: FINISHED outcome {}"); },
                    "attempts[0].outcome.succeeded"},
        RequestCase{"FailureWithCodeOk",
                    [] { return SynchronizeAttempt("phase: FINISHED outcome { failed {} }"); },
                    "attempts[0].outcome.failed.error.code"},
        RequestCase{"ResultFileWithoutDigest",
                    [] {
                      return SynchronizeAttempt(
                          "phase: FINISHED outcome { succeeded { files { kind: ONNX filename: "
                          "'m.onnx' } } }");
                    },
                    "attempts[0].outcome.succeeded.files[0].digest"},
        RequestCase{"CheckpointWithoutDigest",
                    [] { return SynchronizeAttempt("checkpoint { step: 3 }"); },
                    "attempts[0].checkpoint.digest"},
        RequestCase{"KeyWithoutIsa",
                    [] {
                      return SynchronizeAttempt(
                          "determinism_key { onednn_version: '3.2.0' threads: 1 }");
                    },
                    "attempts[0].determinism_key.isa"},
        RequestCase{"NegativeStep", [] { return SynchronizeAttempt("progress { step: -3 }"); },
                    "attempts[0].progress.step"}),
    [](const testing::TestParamInfo<RequestCase>& info) { return info.param.name; });

TEST(WorkerValidation, TooManyAttemptsAreRefused) {
  auto request = FromText<v1::SynchronizeRequest>(kIdleWorker);
  for (int i = 0; i < 65; ++i) {
    *request.add_attempts() = FromText<v1::AttemptReport>(
        absl::StrCat("job: 'projects/a/jobs/j", i, "' attempt: 1 token: 't' phase: RUNNING"));
  }
  EXPECT_THAT(FieldsOf(ValidateSynchronize(request)), Contains("attempts"));
}

}  // namespace
}  // namespace topiary
