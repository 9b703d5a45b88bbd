// What every ArtifactCatalog must do.

#include "absl/strings/str_cat.h"
#include "server/jobs/metadata_store_conformance.h"
#include "server/jobs/status_reason.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ArtifactCatalogConformance);

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

namespace {

UploadSession NewSession(const std::string& id, const std::string& digest) {
  UploadSession session;
  session.project = "p";
  session.id = id;
  session.digest = digest;
  session.size_bytes = 10;
  session.kind = ArtifactKind::kData;
  session.display_name = "data.npz";
  return session;
}

std::vector<std::string> Digests(const std::vector<Artifact>& artifacts) {
  std::vector<std::string> digests;
  for (const Artifact& artifact : artifacts) digests.push_back(artifact.digest);
  return digests;
}

}  // namespace

TEST_P(ArtifactCatalogConformance, AnUploadBecomesAnArtifact) {
  ASSERT_OK(store_->BeginUpload(NewSession("u", Digest(1)), 10, now()));
  EXPECT_THAT(store_->GetArtifact("p", Digest(1)), StatusIs(absl::StatusCode::kNotFound));
  clock_.Advance(absl::Seconds(1));
  ASSERT_OK(store_->FinishUpload("p", "u", now()));
  ASSERT_OK_AND_ASSIGN(const Artifact artifact, store_->GetArtifact("p", Digest(1)));
  EXPECT_EQ(artifact.size_bytes, 10);
  EXPECT_EQ(artifact.kind, ArtifactKind::kData);
  EXPECT_EQ(artifact.display_name, "data.npz");
  EXPECT_EQ(artifact.create_time, now());
}

TEST_P(ArtifactCatalogConformance, FinishingMayBeRepeated) {
  ASSERT_OK(store_->BeginUpload(NewSession("u", Digest(1)), 10, now()));
  ASSERT_OK_AND_ASSIGN(const Artifact first, store_->FinishUpload("p", "u", now()));
  clock_.Advance(absl::Seconds(5));
  ASSERT_OK_AND_ASSIGN(const Artifact second, store_->FinishUpload("p", "u", now()));
  EXPECT_EQ(second.create_time, first.create_time);
  ASSERT_OK_AND_ASSIGN(const UploadSession session, store_->GetUpload("p", "u"));
  EXPECT_TRUE(session.finished);
}

TEST_P(ArtifactCatalogConformance, BeginningAgainFindsTheOpenSession) {
  ASSERT_OK(store_->BeginUpload(NewSession("u1", Digest(1)), 10, now()));
  ASSERT_OK_AND_ASSIGN(const UploadSession same,
                       store_->BeginUpload(NewSession("u2", Digest(1)), 10, now()));
  EXPECT_EQ(same.id, "u1");
  UploadSession other_size = NewSession("u3", Digest(1));
  other_size.size_bytes = 11;
  EXPECT_EQ(store_->BeginUpload(other_size, 10, now())->id, "u3");
  UploadSession other_project = NewSession("u4", Digest(1));
  other_project.project = "q";
  EXPECT_EQ(store_->BeginUpload(other_project, 10, now())->id, "u4");
  ASSERT_OK(store_->FinishUpload("p", "u1", now()));
  EXPECT_EQ(store_->BeginUpload(NewSession("u5", Digest(1)), 10, now())->id, "u5");
}

TEST_P(ArtifactCatalogConformance, OpenUploadsOfAProjectAreLimited) {
  ASSERT_OK(store_->BeginUpload(NewSession("u1", Digest(1)), 1, now()));
  const auto refused = store_->BeginUpload(NewSession("u2", Digest(2)), 1, now());
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(refused.status()), kReasonTooManyUploads);
  ASSERT_OK(store_->FinishUpload("p", "u1", now()));
  EXPECT_OK(store_->BeginUpload(NewSession("u2", Digest(2)), 1, now()));
}

TEST_P(ArtifactCatalogConformance, UnknownUploadsAreNotFound) {
  ASSERT_OK(store_->BeginUpload(NewSession("u", Digest(1)), 10, now()));
  for (const auto& status :
       {store_->GetUpload("p", "x").status(), store_->GetUpload("q", "u").status(),
        store_->TouchUpload("p", "x", now()), store_->FinishUpload("q", "u", now()).status()}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(ReasonOf(status), kReasonUploadNotFound);
  }
  EXPECT_THAT(store_->AbandonUpload("p", "x", absl::InfiniteFuture()), IsOkAndHolds(false));
}

TEST_P(ArtifactCatalogConformance, IdleUploadsAreListedAndSignsOfLifeCount) {
  ASSERT_OK(store_->BeginUpload(NewSession("idle", Digest(1)), 10, now()));
  ASSERT_OK(store_->BeginUpload(NewSession("live", Digest(2)), 10, now()));
  clock_.Advance(absl::Hours(2));
  ASSERT_OK(store_->TouchUpload("p", "live", now()));
  ASSERT_OK_AND_ASSIGN(const auto idle, store_->ListIdleUploads(now() - absl::Hours(1), 10));
  ASSERT_THAT(idle, SizeIs(1));
  EXPECT_EQ(idle[0].id, "idle");
  EXPECT_THAT(store_->AbandonUpload("p", "live", now() - absl::Hours(1)), IsOkAndHolds(false));
  EXPECT_THAT(store_->AbandonUpload("p", "idle", now() - absl::Hours(1)), IsOkAndHolds(true));
  EXPECT_THAT(*store_->SelectClosedUploads({"idle", "live", "other"}),
              ElementsAre("idle", "other"));
}

TEST_P(ArtifactCatalogConformance, KnownBytesKeepTheirRecord) {
  AddArtifact("p", Digest(1), ArtifactKind::kModel);
  clock_.Advance(absl::Seconds(1));
  const Artifact again = AddArtifact("p", Digest(1), ArtifactKind::kData);
  EXPECT_EQ(again.kind, ArtifactKind::kModel);
  EXPECT_LT(again.create_time, now());
}

TEST_P(ArtifactCatalogConformance, ACheckpointUploadedAsAModelBecomesOne) {
  AddArtifact("p", Digest(1), ArtifactKind::kCheckpoint);
  AddArtifact("p", Digest(1), ArtifactKind::kModel);
  EXPECT_EQ(store_->GetArtifact("p", Digest(1))->kind, ArtifactKind::kModel);
}

TEST_P(ArtifactCatalogConformance, AnOpenUploadOfACheckpointBegunAsAModelBecomesOne) {
  UploadSession checkpoint = NewSession("u1", Digest(1));
  checkpoint.kind = ArtifactKind::kCheckpoint;
  ASSERT_OK(store_->BeginUpload(checkpoint, 10, now()));
  ASSERT_OK(store_->BeginUpload(NewSession("u2", Digest(1)), 10, now()));
  ASSERT_OK(store_->BeginUpload(checkpoint, 10, now()));  // and stays one
  EXPECT_EQ(store_->FinishUpload("p", "u1", now())->kind, ArtifactKind::kData);
}

TEST_P(ArtifactCatalogConformance, ACheckpointThatIsRenewedIsAsYoungAsANewOne) {
  AddArtifact("p", Digest(1), ArtifactKind::kCheckpoint);
  clock_.Advance(absl::Hours(1));
  ASSERT_OK(store_->RenewCheckpoint("p", Digest(1), ArtifactKind::kCheckpoint, now()));
  EXPECT_THAT(store_->DeleteUnreferencedCheckpoints(now()), IsOkAndHolds(0));
  ASSERT_OK(store_->RenewCheckpoint("p", Digest(1), ArtifactKind::kModel, now()));
  EXPECT_THAT(store_->DeleteUnreferencedCheckpoints(now() + absl::Seconds(1)), IsOkAndHolds(0));
  EXPECT_EQ(store_->GetArtifact("p", Digest(1))->kind, ArtifactKind::kModel);
  EXPECT_THAT(store_->RenewCheckpoint("p", Digest(2), ArtifactKind::kModel, now()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ArtifactCatalogConformance, ListsNewestFirstWithoutCheckpointsUnlessAsked) {
  for (int i = 0; i < 3; ++i) {
    AddArtifact("p", Digest(i));
    clock_.Advance(absl::Seconds(1));
  }
  AddArtifact("p", Digest(8), ArtifactKind::kCheckpoint);
  AddArtifact("q", Digest(9));
  ArtifactQuery query;
  query.project = "p";
  query.page_size = 2;
  ASSERT_OK_AND_ASSIGN(ArtifactPage page, store_->ListArtifacts(query));
  EXPECT_THAT(Digests(page.artifacts), ElementsAre(Digest(2), Digest(1)));
  query.page_token = page.next_page_token;
  ASSERT_OK_AND_ASSIGN(page, store_->ListArtifacts(query));
  EXPECT_THAT(Digests(page.artifacts), ElementsAre(Digest(0)));
  EXPECT_EQ(page.next_page_token, "");
  query.page_token = "";
  query.kinds = {ArtifactKind::kCheckpoint};
  ASSERT_OK_AND_ASSIGN(page, store_->ListArtifacts(query));
  EXPECT_THAT(Digests(page.artifacts), ElementsAre(Digest(8)));
  query.page_size = 0;
  EXPECT_THAT(store_->ListArtifacts(query), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(ArtifactCatalogConformance, WhatALiveJobNeedsIsNotDeletedAndTheJobIsNamed) {
  AddArtifact("p", Digest(1));
  Job job = NewJob("j");
  job.inputs = {{Digest(1), "model"}};
  Insert(job);
  const absl::Status refused = store_->DeleteArtifact("p", Digest(1));
  EXPECT_THAT(refused,
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("projects/p/jobs/j")));
  EXPECT_EQ(ReasonOf(refused), kReasonArtifactInUse);
  EXPECT_EQ(MetadataOf(refused).at("job"), "projects/p/jobs/j");
  ASSERT_OK(store_->RequestCancel({"p", "j"}, now()));
  EXPECT_OK(store_->DeleteArtifact("p", Digest(1)));
}

TEST_P(ArtifactCatalogConformance, ACheckpointOfALiveJobIsNotDeleted) {
  Insert("j");
  ASSERT_OK(RecordCheckpoint(Acquire("j"), 1, 100));
  EXPECT_THAT(store_->DeleteArtifact("p", Digest(1)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(ArtifactCatalogConformance, TheSameBytesInAnotherProjectAreNotHeldByThisOnesJobs) {
  AddArtifact("p", Digest(1));
  AddArtifact("q", Digest(1));
  Job job = NewJob("j");
  job.inputs = {{Digest(1), "model"}};
  Insert(job);
  EXPECT_OK(store_->DeleteArtifact("q", Digest(1)));
  EXPECT_THAT(store_->DeleteArtifact("q", Digest(1)), StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ArtifactCatalogConformance, ContentIsUnreferencedOnceNoProjectHasIt) {
  AddArtifact("p", Digest(1));
  AddArtifact("q", Digest(1));
  const std::vector<std::string> digests = {Digest(1), Digest(2)};
  EXPECT_THAT(*store_->SelectUnreferenced(digests), ElementsAre(Digest(2)));
  ASSERT_OK(store_->DeleteArtifact("p", Digest(1)));
  EXPECT_THAT(*store_->SelectUnreferenced(digests), ElementsAre(Digest(2)));
  ASSERT_OK(store_->DeleteArtifact("q", Digest(1)));
  EXPECT_THAT(*store_->SelectUnreferenced(digests), SizeIs(2));
}

TEST_P(ArtifactCatalogConformance, OrphanedCheckpointsAreCollectedWhenOldEnough) {
  Insert("j");
  const AttemptName attempt = Acquire("j");
  ASSERT_OK(RecordCheckpoint(attempt, 1, 100));
  AddArtifact("p", Digest(2), ArtifactKind::kCheckpoint);  // its worker died before reporting it
  AddArtifact("p", Digest(3), ArtifactKind::kModel);
  EXPECT_THAT(store_->DeleteUnreferencedCheckpoints(now()), IsOkAndHolds(0));
  EXPECT_THAT(store_->DeleteUnreferencedCheckpoints(now() + absl::Seconds(1)), IsOkAndHolds(1));
  EXPECT_OK(store_->GetArtifact("p", Digest(1)));
  EXPECT_FALSE(store_->GetArtifact("p", Digest(2)).ok());
  EXPECT_OK(store_->GetArtifact("p", Digest(3)));
}

TEST_P(ArtifactCatalogConformance, BytesAreCountedOncePerContent) {
  EXPECT_THAT(store_->TotalBytes(), IsOkAndHolds(0));
  AddArtifact("p", Digest(1), ArtifactKind::kModel, 100);
  AddArtifact("q", Digest(1), ArtifactKind::kModel, 100);
  AddArtifact("q", Digest(2), ArtifactKind::kData, int64_t{1} << 40);
  EXPECT_THAT(store_->TotalBytes(), IsOkAndHolds((int64_t{1} << 40) + 100));
}

}  // namespace topiary
