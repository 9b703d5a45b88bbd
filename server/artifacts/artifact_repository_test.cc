#include "server/artifacts/artifact_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/fake_clock.h"
#include "common/status_matchers.h"
#include "server/artifacts/memory_artifact_store.h"
#include "server/jobs/memory_metadata_store.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

// A catalog that does something between a call's first read and what the call does next.
class InterruptingCatalog final : public MemoryMetadataStore {
 public:
  using MemoryMetadataStore::MemoryMetadataStore;
  void AfterNextRead(std::function<void()> interruption) {
    interruption_ = std::move(interruption);
  }

 protected:
  absl::Status Read(Transaction transaction) override {
    const absl::Status status = MemoryMetadataStore::Read(transaction);
    if (interruption_ != nullptr) std::exchange(interruption_, nullptr)();
    return status;
  }

 private:
  std::function<void()> interruption_;
};

// A store that can neither open nor delete some of its blobs.
class DamagedStore final : public MemoryArtifactStore {
 public:
  using MemoryArtifactStore::MemoryArtifactStore;
  void Damage(const std::string& digest) { damaged_.insert(digest); }
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& digest) override {
    if (damaged_.count(digest) > 0) return absl::DataLossError(digest);
    return MemoryArtifactStore::Open(digest);
  }
  absl::Status Delete(const std::string& digest) override {
    if (damaged_.count(digest) > 0) return absl::DataLossError(digest);
    return MemoryArtifactStore::Delete(digest);
  }

 private:
  std::set<std::string> damaged_;
};

class ArtifactRepositoryTest : public testing::Test {
 protected:
  static ArtifactLimits Limits() {
    ArtifactLimits limits;
    limits.max_artifact_bytes = 100;
    limits.max_open_uploads = 3;
    limits.upload_idle = absl::Hours(24);
    limits.garbage_age = absl::Hours(1);
    return limits;
  }

  BeginUploadRequest Request(const std::string& bytes, const std::string& project = "p") {
    BeginUploadRequest request;
    request.project = project;
    request.digest = Sha256Hex(bytes);
    request.size_bytes = static_cast<int64_t>(bytes.size());
    return request;
  }

  std::string Begin(const std::string& bytes, const std::string& project = "p") {
    const auto status = repository_.BeginUpload(Request(bytes, project));
    EXPECT_OK(status);
    return status->session.id;
  }

  std::string Put(const std::string& bytes, const std::string& project = "p",
                  ArtifactKind kind = ArtifactKind::kModel) {
    BeginUploadRequest request = Request(bytes, project);
    request.kind = kind;
    const auto begun = repository_.BeginUpload(request);
    EXPECT_OK(begun);
    EXPECT_OK(repository_.WriteUpload(project, begun->session.id, 0, bytes));
    EXPECT_OK(repository_.FinishUpload(project, begun->session.id));
    return request.digest;
  }

  GarbageCollected Collect() {
    const auto collected = repository_.CollectGarbage();
    EXPECT_OK(collected);
    return *collected;
  }

  FakeClock clock_;
  InterruptingCatalog catalog_{&clock_};
  DamagedStore store_{&clock_};
  int next_id_ = 0;
  ArtifactRepository repository_{Limits(), &catalog_, &store_, &clock_,
                                 [this] { return absl::StrCat("u", next_id_++); }};
};

TEST_F(ArtifactRepositoryTest, AnUploadIsVisibleOnlyOnceFinished) {
  const std::string upload = Begin("hello");
  EXPECT_THAT(repository_.WriteUpload("p", upload, 0, "hello"), IsOkAndHolds(5));
  EXPECT_THAT(repository_.Open("p", Sha256Hex("hello")), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(repository_.FinishUpload("p", upload));
  ASSERT_OK_AND_ASSIGN(const OpenArtifact open, repository_.Open("p", Sha256Hex("hello")));
  EXPECT_EQ(open.artifact.size_bytes, 5);
  EXPECT_EQ(open.reader->size(), 5);
}

TEST_F(ArtifactRepositoryTest, ACutUploadGoesOnWhereItStopped) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "he"));
  ASSERT_OK_AND_ASSIGN(const UploadStatus again, repository_.BeginUpload(Request("hello")));
  EXPECT_EQ(again.session.id, upload);
  EXPECT_EQ(again.committed_bytes, 2);
  EXPECT_EQ(repository_.GetUpload("p", upload)->committed_bytes, 2);
  ASSERT_OK(repository_.WriteUpload("p", upload, 2, "llo"));
  EXPECT_OK(repository_.FinishUpload("p", upload));
}

TEST_F(ArtifactRepositoryTest, KnownBytesEndAnUploadAtOnceButOnlyInTheirProject) {
  Put("hello", "p");
  ASSERT_OK_AND_ASSIGN(const UploadStatus same, repository_.BeginUpload(Request("hello", "p")));
  EXPECT_TRUE(same.artifact.has_value());
  EXPECT_EQ(same.committed_bytes, 5);
  ASSERT_OK_AND_ASSIGN(const UploadStatus other, repository_.BeginUpload(Request("hello", "q")));
  EXPECT_FALSE(other.artifact.has_value());
  EXPECT_EQ(other.committed_bytes, 0);
  EXPECT_THAT(repository_.FinishUpload("q", other.session.id),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(repository_.Open("q", Sha256Hex("hello")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ArtifactRepositoryTest, FinishingAndAskingMayBeRepeated) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "hello"));
  ASSERT_OK(repository_.FinishUpload("p", upload));
  EXPECT_OK(repository_.FinishUpload("p", upload));
  ASSERT_OK_AND_ASSIGN(const UploadStatus status, repository_.GetUpload("p", upload));
  EXPECT_TRUE(status.artifact.has_value());
  const auto late = repository_.WriteUpload("p", upload, 0, "hello");
  EXPECT_EQ(ReasonOf(late.status()), kReasonUploadOffset);
  EXPECT_EQ(MetadataOf(late.status()).at("committedBytes"), "5");
}

TEST_F(ArtifactRepositoryTest, TwoFinishingCallsBothGetTheArtifact) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "hello"));
  catalog_.AfterNextRead([&] { EXPECT_OK(repository_.FinishUpload("p", upload)); });
  EXPECT_OK(repository_.FinishUpload("p", upload));
  EXPECT_EQ(store_.ListUploads()->size(), 0u);
}

TEST_F(ArtifactRepositoryTest, AskingWhileAnotherCallFinishesShowsTheArtifact) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "hello"));
  catalog_.AfterNextRead([&] { EXPECT_OK(repository_.FinishUpload("p", upload)); });
  ASSERT_OK_AND_ASSIGN(const UploadStatus status, repository_.GetUpload("p", upload));
  EXPECT_TRUE(status.artifact.has_value());
  EXPECT_EQ(status.committed_bytes, 5);
  EXPECT_EQ(store_.ListUploads()->size(), 0u);
}

TEST_F(ArtifactRepositoryTest, ACheckpointUploadedAsAModelIsNoLongerCollected) {
  const std::string digest = Put("hello", "p", ArtifactKind::kCheckpoint);
  ASSERT_OK_AND_ASSIGN(const UploadStatus status, repository_.BeginUpload(Request("hello")));
  ASSERT_TRUE(status.artifact.has_value());
  EXPECT_EQ(status.artifact->kind, ArtifactKind::kModel);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(Collect().checkpoints, 0);
  EXPECT_OK(repository_.Open("p", digest));
}

TEST_F(ArtifactRepositoryTest, ACoordinatorThatDiedBetweenBytesAndRecordFinishesLater) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "hello"));
  catalog_.FailWith(absl::UnavailableError("down"));
  EXPECT_FALSE(repository_.FinishUpload("p", upload).ok());
  catalog_.FailWith(absl::OkStatus());
  ASSERT_OK(store_.CommitUpload(upload, Sha256Hex("hello"), 5));
  EXPECT_OK(repository_.FinishUpload("p", upload));
}

TEST_F(ArtifactRepositoryTest, BytesLostFromTheStoreCanBeSentAgain) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "hello"));
  ASSERT_OK(store_.AbandonUpload(upload));
  const auto refused = repository_.FinishUpload("p", upload);
  EXPECT_EQ(ReasonOf(refused.status()), kReasonUploadIncomplete);
  EXPECT_EQ(MetadataOf(refused.status()).at("committedBytes"), "0");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "hello"));
  EXPECT_OK(repository_.FinishUpload("p", upload));
}

struct BadBegin {
  const char* name;
  std::string digest;
  int64_t size;
  absl::StatusCode code;
  std::string reason;
};
class BadBeginTest : public ArtifactRepositoryTest, public testing::WithParamInterface<BadBegin> {};

TEST_P(BadBeginTest, IsRefused) {
  BeginUploadRequest request = Request("x");
  request.digest = GetParam().digest;
  request.size_bytes = GetParam().size;
  const auto refused = repository_.BeginUpload(request);
  EXPECT_THAT(refused, StatusIs(GetParam().code));
  EXPECT_EQ(ReasonOf(refused.status()), GetParam().reason);
}
INSTANTIATE_TEST_SUITE_P(
    All, BadBeginTest,
    testing::Values(
        BadBegin{"NoDigest", "", 1, absl::StatusCode::kInvalidArgument, ""},
        BadBegin{"OtherDigest", std::string(40, 'a'), 1, absl::StatusCode::kInvalidArgument, ""},
        BadBegin{"NegativeSize", std::string(64, 'a'), -1, absl::StatusCode::kInvalidArgument, ""},
        BadBegin{"TooLarge", std::string(64, 'a'), 101, absl::StatusCode::kResourceExhausted,
                 kReasonArtifactTooLarge}),
    [](const auto& info) { return info.param.name; });

TEST_F(ArtifactRepositoryTest, WritesBeyondTheAnnouncedSizeAreRefused) {
  const std::string upload = Begin("hello");
  for (const auto& [offset, bytes] : std::vector<std::pair<int64_t, std::string>>{
           {0, "hello!"}, {3, "xyz"}, {-1, "x"}, {int64_t{1} << 62, "x"}}) {
    EXPECT_THAT(repository_.WriteUpload("p", upload, offset, bytes),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << offset;
  }
  EXPECT_EQ(repository_.GetUpload("p", upload)->committed_bytes, 0);
}

TEST_F(ArtifactRepositoryTest, AnotherProjectsUploadIsNotFound) {
  const std::string upload = Begin("hello");
  EXPECT_THAT(repository_.WriteUpload("q", upload, 0, "hello"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(repository_.FinishUpload("q", upload), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ArtifactRepositoryTest, OpenUploadsAreLimited) {
  for (const char* bytes : {"1", "2", "3"}) Begin(bytes);
  EXPECT_EQ(ReasonOf(repository_.BeginUpload(Request("4")).status()), kReasonTooManyUploads);
  Begin("4", "q");
}

TEST_F(ArtifactRepositoryTest, MissingBytesOfARecordAreDataLoss) {
  const std::string digest = Put("hello");
  ASSERT_OK(store_.Delete(digest));
  EXPECT_THAT(repository_.Open("p", digest), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ArtifactRepositoryTest, MissingBytesOfARecordCanBeUploadedAgain) {
  const std::string digest = Put("hello");
  ASSERT_OK(store_.Delete(digest));
  ASSERT_OK_AND_ASSIGN(const UploadStatus begun, repository_.BeginUpload(Request("hello")));
  ASSERT_FALSE(begun.artifact.has_value());
  EXPECT_EQ(begun.committed_bytes, 0);
  ASSERT_OK(repository_.WriteUpload("p", begun.session.id, 0, "hello"));
  ASSERT_OK_AND_ASSIGN(const Artifact artifact, repository_.FinishUpload("p", begun.session.id));
  EXPECT_EQ(artifact.digest, digest);
  ASSERT_OK_AND_ASSIGN(const OpenArtifact open, repository_.Open("p", digest));
  EXPECT_EQ(open.reader->size(), 5);
  EXPECT_TRUE(repository_.BeginUpload(Request("hello"))->artifact.has_value());
}

TEST_F(ArtifactRepositoryTest, AStoreThatCannotBeReadIsNoReasonToUploadAgain) {
  const std::string digest = Put("hello");
  store_.Damage(digest);
  EXPECT_THAT(repository_.BeginUpload(Request("hello")), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ArtifactRepositoryTest, BytesGoOnceNoProjectHasThemAndTheyAreOld) {
  const std::string digest = Put("hello", "p");
  Put("hello", "q");
  Put("kept", "p");
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(Collect().blobs, 0);
  ASSERT_OK(repository_.Delete("p", digest));
  EXPECT_EQ(Collect().blobs, 0);
  ASSERT_OK(repository_.Delete("q", digest));
  const GarbageCollected collected = Collect();
  EXPECT_EQ(collected.blobs, 1);
  EXPECT_EQ(collected.bytes, 5);
  EXPECT_THAT(store_.Open(digest), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(repository_.Open("p", Sha256Hex("kept")));
}

TEST_F(ArtifactRepositoryTest, YoungBytesWithoutARecordStay) {
  const std::string digest = Put("hello");
  ASSERT_OK(repository_.Delete("p", digest));
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(Collect().blobs, 0);
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(Collect().blobs, 1);
}

TEST_F(ArtifactRepositoryTest, IdleUploadsAreDroppedAndBusyOnesAreNot) {
  const std::string idle = Begin("idle!");
  const std::string busy = Begin("busy!");
  ASSERT_OK(repository_.WriteUpload("p", idle, 0, "i"));
  clock_.Advance(absl::Hours(23));
  ASSERT_OK(repository_.WriteUpload("p", busy, 0, "b"));
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(Collect().uploads, 1);
  EXPECT_THAT(repository_.GetUpload("p", idle), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_.UploadOffset(idle), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(repository_.GetUpload("p", busy)->committed_bytes, 1);
}

TEST_F(ArtifactRepositoryTest, AnIdleUploadThatIsResumedDuringCollectionStays) {
  const std::string upload = Begin("hello");
  ASSERT_OK(repository_.WriteUpload("p", upload, 0, "he"));
  clock_.Advance(absl::Hours(25));
  catalog_.AfterNextRead([&] { EXPECT_EQ(Begin("hello"), upload); });
  EXPECT_EQ(Collect().uploads, 0);
  ASSERT_OK_AND_ASSIGN(const UploadStatus status, repository_.GetUpload("p", upload));
  EXPECT_EQ(status.committed_bytes, 2);
}

TEST_F(ArtifactRepositoryTest, PartialBytesWithoutASessionAreCollected) {
  ASSERT_OK(store_.CreateUpload("stray"));
  Begin("open!");
  EXPECT_EQ(Collect().partials, 0);  // too young
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(Collect().partials, 1);
  EXPECT_EQ(store_.ListUploads()->size(), 1u);
}

TEST_F(ArtifactRepositoryTest, CheckpointsThatNobodyRefersToAreCollectedWithTheirBytes) {
  Put("checkpoint", "p", ArtifactKind::kCheckpoint);
  clock_.Advance(absl::Hours(2));
  const GarbageCollected collected = Collect();
  EXPECT_EQ(collected.checkpoints, 1);
  EXPECT_EQ(collected.blobs, 1);
}

TEST_F(ArtifactRepositoryTest, ABlobThatCannotBeDeletedDoesNotKeepTheOthers) {
  std::set<std::string> digests;
  for (const char* bytes : {"1", "2", "3"}) digests.insert(Put(bytes));
  for (const std::string& digest : digests) ASSERT_OK(repository_.Delete("p", digest));
  store_.Damage(*digests.begin());
  clock_.Advance(absl::Hours(2));
  EXPECT_THAT(repository_.CollectGarbage(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_EQ(store_.ListBlobs("", 10)->size(), 1u);
}

TEST_F(ArtifactRepositoryTest, CollectionGoesOnAfterAnErrorAndReportsTheFirst) {
  catalog_.FailWith(absl::UnavailableError("first"));
  EXPECT_THAT(repository_.CollectGarbage(),
              StatusIs(absl::StatusCode::kUnavailable, testing::HasSubstr("first")));
}

}  // namespace
}  // namespace topiary
