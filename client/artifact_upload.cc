#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/artifact_transfer.h"
#include "client/channel.h"
#include "client/local_file.h"
#include "client/retry.h"
#include "common/digest.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "topiary/v1/artifacts.grpc.pb.h"

namespace topiary {
namespace {

constexpr int64_t kChunkBytes = 512 << 10;

std::string LastPart(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// One upload, from the first question to the finished artifact.
class Uploader {
 public:
  Uploader(v1::ArtifactService::Stub* stub, LocalFile file, v1::BeginUploadRequest begin,
           const TransferOptions& options)
      : stub_(stub), file_(std::move(file)), begin_(std::move(begin)), options_(options) {}

  absl::StatusOr<v1::Artifact> Run() {
    Backoff backoff(options_.backoff);
    bool started_again = false;
    for (;;) {
      const int64_t before = furthest_;
      absl::StatusOr<v1::Artifact> artifact = GoOn();
      if (artifact.ok()) return artifact;
      absl::Status status = artifact.status();
      if (absl::IsDataLoss(status) && !started_again) {
        // The bytes on the server were damaged; it has dropped them. Unless it is ours that
        // changed.
        started_again = true;
        RETURN_IF_ERROR(CheckUnchanged());
        furthest_ = 0;
        continue;
      }
      // The upload is gone or not as it was left: someone else sends the same bytes, or it was
      // dropped. Beginning again will tell.
      if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) {
        status = absl::AbortedError(status.message());
      }
      if (furthest_ > before) backoff.Reset();
      RETURN_IF_ERROR(WaitToRetry(status, &backoff, options_.cancellation));
    }
  }

 private:
  absl::Status CheckUnchanged() {
    ASSIGN_OR_RETURN(const std::string digest, Sha256HexOfFile(file_.path()));
    if (digest == begin_.digest()) return absl::OkStatus();
    return absl::DataLossError("the file was changed while it was uploaded; upload it again");
  }

  absl::StatusOr<v1::Artifact> GoOn() {
    v1::Upload upload;
    RETURN_IF_ERROR(Call([&](grpc::ClientContext* context) {
      return stub_->BeginUpload(context, begin_, &upload);
    }));
    if (upload.has_artifact()) {
      Report(begin_.size_bytes());
      return upload.artifact();
    }
    RETURN_IF_ERROR(Accept(upload));
    while (committed_ < begin_.size_bytes()) RETURN_IF_ERROR(WriteSegment(upload.name()));
    v1::FinishUploadRequest finish;
    finish.set_name(upload.name());
    v1::Artifact artifact;
    RETURN_IF_ERROR(Call([&](grpc::ClientContext* context) {
      return stub_->FinishUpload(context, finish, &artifact);
    }));
    return artifact;
  }

  template <typename Method>
  absl::Status Call(Method method) {
    if (IsCancelled(options_.cancellation)) return absl::CancelledError("stopped");
    grpc::ClientContext context;
    SetDeadline(options_.call_timeout, &context);
    const Cancellation::Scope scope(options_.cancellation, &context);
    return FromGrpcStatus(method(&context));
  }

  // Takes over what the server says of its bytes.
  absl::Status Accept(const v1::Upload& upload) {
    if (upload.committed_bytes() < 0 || upload.committed_bytes() > begin_.size_bytes()) {
      return absl::InternalError(absl::StrCat("the server claims to have ",
                                              upload.committed_bytes(), " of ", begin_.size_bytes(),
                                              " bytes"));
    }
    committed_ = upload.committed_bytes();
    furthest_ = std::max(furthest_, committed_);
    Report(committed_);
    return absl::OkStatus();
  }

  // Sends the next bytes, at most a segment, in one stream.
  absl::Status WriteSegment(const std::string& name) {
    if (IsCancelled(options_.cancellation)) return absl::CancelledError("stopped");
    const int64_t begin = committed_;
    const int64_t end = std::min(begin_.size_bytes(), begin + options_.segment_bytes);
    grpc::ClientContext context;
    SetDeadline(options_.segment_timeout, &context);
    const Cancellation::Scope scope(options_.cancellation, &context);
    v1::Upload upload;
    const auto writer = stub_->WriteUpload(&context, &upload);
    v1::WriteUploadRequest request;
    request.set_name(name);
    for (int64_t offset = begin; offset < end;) {
      absl::StatusOr<std::string> bytes = file_.ReadAt(offset, std::min(kChunkBytes, end - offset));
      if (!bytes.ok() || bytes->empty()) {
        context.TryCancel();
        writer->Finish();
        return bytes.ok() ? absl::DataLossError("the file became shorter while it was uploaded")
                          : bytes.status();
      }
      request.set_offset(offset);
      offset += static_cast<int64_t>(bytes->size());
      request.set_data(*std::move(bytes));
      if (!writer->Write(request)) break;  // The reason comes with Finish().
      Report(offset);
    }
    writer->WritesDone();
    RETURN_IF_ERROR(FromGrpcStatus(writer->Finish()));
    RETURN_IF_ERROR(Accept(upload));
    if (committed_ > begin) return absl::OkStatus();
    return absl::UnavailableError("the server kept none of the bytes sent");
  }

  void Report(int64_t done) const {
    if (options_.progress) options_.progress(done, begin_.size_bytes());
  }

  v1::ArtifactService::Stub* const stub_;
  const LocalFile file_;
  const v1::BeginUploadRequest begin_;
  const TransferOptions& options_;
  int64_t committed_ = 0;  // On the server, as it last said.
  int64_t furthest_ = 0;   // The most that committed_ has been.
};

}  // namespace

absl::StatusOr<v1::Artifact> ArtifactTransfer::Upload(const std::string& project,
                                                      const UploadSource& source,
                                                      const TransferOptions& options) {
  ASSIGN_OR_RETURN(LocalFile file, LocalFile::OpenForReading(source.path));
  v1::BeginUploadRequest begin;
  begin.set_parent(project);
  begin.set_kind(source.kind);
  begin.set_display_name(source.display_name.empty() ? LastPart(source.path) : source.display_name);
  begin.set_digest(source.digest);
  if (source.digest.empty()) {
    ASSIGN_OR_RETURN(*begin.mutable_digest(), Sha256HexOfFile(source.path));
  }
  ASSIGN_OR_RETURN(const int64_t size, file.Size());
  begin.set_size_bytes(size);
  const auto stub = v1::ArtifactService::NewStub(channel_);
  absl::StatusOr<v1::Artifact> artifact =
      Uploader(stub.get(), std::move(file), std::move(begin), options).Run();
  if (!artifact.ok()) {
    return Annotate(artifact.status(), absl::StrCat("upload of ", source.path));
  }
  return artifact;
}

}  // namespace topiary
