#ifndef TOPIARY_SERVER_ARTIFACTS_LOCAL_ARTIFACT_STORE_H_
#define TOPIARY_SERVER_ARTIFACTS_LOCAL_ARTIFACT_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/artifacts/artifact_store.h"

namespace topiary {

// Opens, and if need be creates, an ArtifactStore in the folder `root`:
//
//   blobs/3f/3fa1...      a blob, in a subfolder by the first byte of its digest
//   uploads/ID            what has arrived of an upload
//   uploads/ID.committed  names the digest that the verified upload ID became
//
// A blob gets its name only after its bytes are verified and synced (rename, then sync of the
// folder). One process at a time may use the folder.
absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenLocalArtifactStore(const std::string& root);

}  // namespace topiary

#endif  // TOPIARY_SERVER_ARTIFACTS_LOCAL_ARTIFACT_STORE_H_
