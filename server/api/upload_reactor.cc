#include "server/api/upload_reactor.h"

#include <string>

#include "server/api/artifact_proto.h"
#include "server/api/field_violations.h"
#include "server/api/request_validation.h"

namespace topiary {

void UploadReactor::AskForChunk() {
  StartRead(&chunk_);
  Wait();
}

void UploadReactor::OnReadDone(bool ok) {
  has_chunk_ = ok;
  Wake();
}

void UploadReactor::OnWake() {
  if (has_chunk_) {
    NextStep([this] { StoreChunk(); });
  } else {
    NextStep([this] { Answer(); });
  }
}

absl::Status UploadReactor::CheckChunk() {
  FieldViolations violations;
  if (!upload_.has_value()) upload_ = ParseUploadName(chunk_.name());
  violations.Check(upload_.has_value(), "name", "must be \"projects/{project}/uploads/{upload}\"");
  if (upload_.has_value() && !chunk_.name().empty()) {
    violations.Check(chunk_.name() == FormatUploadName(upload_->project, upload_->id), "name",
                     "must be empty or the same in all messages of a stream");
  }
  violations.Check(chunk_.offset() >= 0, "offset", "must not be negative");
  violations.Check(static_cast<int64_t>(chunk_.data().size()) <= kMaxUploadChunkBytes, "data",
                   "must have at most 2 MiB");
  return violations.ToStatus();
}

void UploadReactor::StoreChunk() {
  if (absl::Status valid = CheckChunk(); !valid.ok()) return End(valid);
  if (!chunk_.data().empty()) {
    const auto offset =
        artifacts_->WriteUpload(upload_->project, upload_->id, chunk_.offset(), chunk_.data());
    if (!offset.ok()) return End(offset.status());
    metrics_->AddUploadedBytes(static_cast<int64_t>(chunk_.data().size()));
  }
  // Streams that wait for a slow client hold no bytes.
  v1::WriteUploadRequest().Swap(&chunk_);
  AskForChunk();
}

void UploadReactor::Answer() {
  if (!upload_.has_value()) {
    FieldViolations violations;
    violations.Add("name", "is required in the first message of the stream");
    return End(violations.ToStatus());
  }
  const auto upload = artifacts_->GetUpload(upload_->project, upload_->id);
  if (!upload.ok()) return End(upload.status());
  *response_ = ToProto(*upload);
  End(absl::OkStatus());
}

}  // namespace topiary
