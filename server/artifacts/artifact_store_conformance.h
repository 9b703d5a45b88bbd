#ifndef TOPIARY_SERVER_ARTIFACTS_ARTIFACT_STORE_CONFORMANCE_H_
#define TOPIARY_SERVER_ARTIFACTS_ARTIFACT_STORE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "server/artifacts/artifact_store.h"

namespace topiary {

// How to make the store under test, empty.
struct ArtifactStoreFactory {
  std::string name;
  std::function<std::unique_ptr<ArtifactStore>()> make;
};

// What every ArtifactStore must do; see MetadataStoreTest for how to use it.
class ArtifactStoreConformance : public testing::TestWithParam<ArtifactStoreFactory> {
 protected:
  // Uploads `bytes` and returns their digest.
  std::string Put(const std::string& upload, const std::string& bytes);
  // The whole blob.
  absl::StatusOr<std::string> Get(const std::string& digest);

  std::unique_ptr<ArtifactStore> store_ = GetParam().make();
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_ARTIFACT_STORE_CONFORMANCE_H_
