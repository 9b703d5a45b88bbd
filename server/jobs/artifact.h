#ifndef TOPIARY_SERVER_JOBS_ARTIFACT_H_
#define TOPIARY_SERVER_JOBS_ARTIFACT_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

// Records about artifacts, as plain structs. Their bytes are in server/artifacts.
namespace topiary {

// Stored: never renumber.
enum class ArtifactKind {
  kModel = 1,
  kData = 2,
  kCheckpoint = 3,  // resumable training state: not listed unless asked for, ends with its job
  kResult = 4,      // a model, report or predictions that a job made
};

// One artifact of one project: `projects/{project}/artifacts/{digest}`. Two projects that hold the
// same bytes have a record each and share the stored bytes.
struct Artifact {
  std::string project;
  std::string digest;  // SHA-256 of the content, 64 lower-case hexadecimal digits
  int64_t size_bytes = 0;
  ArtifactKind kind = ArtifactKind::kModel;
  std::string display_name;  // for people, e.g. the file's name; not unique
  absl::Time create_time = absl::UnixEpoch();
};

// An upload that was begun and not dropped. How many bytes have arrived is
// known to the ArtifactStore only: the offset lives with the bytes.
struct UploadSession {
  std::string project;
  std::string id;      // letters, digits, '-' and '_'; unguessable
  std::string digest;  // announced; verified at the end
  int64_t size_bytes = 0;
  ArtifactKind kind = ArtifactKind::kModel;
  std::string display_name;
  absl::Time create_time = absl::UnixEpoch();
  absl::Time update_time = absl::UnixEpoch();  // of the last sign of life
  bool finished = false;  // the artifact exists; kept a while so that finishing may be repeated
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_JOBS_ARTIFACT_H_
