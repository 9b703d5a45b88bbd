#include "server/artifacts/memory_artifact_store.h"

#include "common/clock.h"
#include "server/artifacts/artifact_store_conformance.h"

namespace topiary {

INSTANTIATE_TEST_SUITE_P(Memory, ArtifactStoreConformance,
                         testing::Values(ArtifactStoreFactory{
                             "Memory",
                             [] { return std::make_unique<MemoryArtifactStore>(SystemClock()); }}));

}  // namespace topiary
