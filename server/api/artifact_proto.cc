#include "server/api/artifact_proto.h"

#include "server/api/resource_name.h"
#include "server/api/time_proto.h"

namespace topiary {

static_assert(static_cast<int>(ArtifactKind::kModel) == v1::ARTIFACT_KIND_MODEL);
static_assert(static_cast<int>(ArtifactKind::kData) == v1::ARTIFACT_KIND_DATA);
static_assert(static_cast<int>(ArtifactKind::kCheckpoint) == v1::ARTIFACT_KIND_CHECKPOINT);
static_assert(static_cast<int>(ArtifactKind::kResult) == v1::ARTIFACT_KIND_RESULT);

v1::Artifact ToProto(const Artifact& artifact) {
  v1::Artifact proto;
  proto.set_name(FormatArtifactName(artifact.project, artifact.digest));
  proto.set_digest(artifact.digest);
  proto.set_size_bytes(artifact.size_bytes);
  proto.set_kind(static_cast<v1::ArtifactKind>(artifact.kind));
  proto.set_display_name(artifact.display_name);
  *proto.mutable_create_time() = TimeToProto(artifact.create_time);
  return proto;
}

v1::Upload ToProto(const UploadStatus& upload) {
  v1::Upload proto;
  if (upload.artifact.has_value()) {
    *proto.mutable_artifact() = ToProto(*upload.artifact);
    proto.set_size_bytes(upload.artifact->size_bytes);
    proto.set_committed_bytes(upload.artifact->size_bytes);
  } else {
    proto.set_size_bytes(upload.session.size_bytes);
    proto.set_committed_bytes(upload.committed_bytes);
  }
  if (!upload.session.id.empty()) {
    proto.set_name(FormatUploadName(upload.session.project, upload.session.id));
  }
  return proto;
}

ArtifactKind FromProto(v1::ArtifactKind kind) { return static_cast<ArtifactKind>(kind); }

}  // namespace topiary
