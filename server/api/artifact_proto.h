#ifndef TOPIARY_SERVER_API_ARTIFACT_PROTO_H_
#define TOPIARY_SERVER_API_ARTIFACT_PROTO_H_

#include "server/artifacts/artifact_repository.h"
#include "server/jobs/artifact.h"
#include "topiary/v1/artifacts.pb.h"

// Artifacts as messages and as the structs of server/jobs and server/artifacts.
namespace topiary {

v1::Artifact ToProto(const Artifact& artifact);
v1::Upload ToProto(const UploadStatus& upload);

// `kind` must be specified and known.
ArtifactKind FromProto(v1::ArtifactKind kind);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_ARTIFACT_PROTO_H_
