#include "server/jobs/memory_metadata_store.h"

#include "server/jobs/metadata_store_conformance.h"

namespace topiary {
namespace {

MetadataStoreFactory Factory() {
  return {"Memory", [](Clock* clock) { return std::make_unique<MemoryMetadataStore>(clock); }};
}

TEST(MemoryMetadataStore, FailsWhenToldToAndRecovers) {
  FakeClock clock;
  MemoryMetadataStore store(&clock);
  store.FailWith(absl::UnavailableError("down"));
  EXPECT_THAT(store.CountByState(), StatusIs(absl::StatusCode::kUnavailable));
  store.FailWith(absl::OkStatus());
  EXPECT_OK(store.CountByState());
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Memory, JobStoreConformance, testing::Values(Factory()));
INSTANTIATE_TEST_SUITE_P(Memory, LeaseConformance, testing::Values(Factory()));
INSTANTIATE_TEST_SUITE_P(Memory, JobEventsConformance, testing::Values(Factory()));
INSTANTIATE_TEST_SUITE_P(Memory, ArtifactCatalogConformance, testing::Values(Factory()));
INSTANTIATE_TEST_SUITE_P(Memory, SweepConformance, testing::Values(Factory()));
INSTANTIATE_TEST_SUITE_P(Memory, MetadataStoreModelTest, testing::Values(Factory()));

}  // namespace topiary
