#include <unistd.h>

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

constexpr int64_t kHashChunkBytes = 1 << 20;

// Streams one artifact from an offset to its end, over as many calls as it takes.
class RangeReader {
 public:
  using Sink = std::function<absl::Status(int64_t offset, absl::string_view bytes)>;

  RangeReader(v1::ArtifactService::Stub* stub, std::string name, const TransferOptions& options)
      : stub_(stub), name_(std::move(name)), options_(options) {}

  absl::StatusOr<int64_t> Size() {
    Backoff backoff(options_.backoff);
    for (;;) {
      absl::StatusOr<int64_t> size = AskSize();
      if (size.ok()) return size;
      RETURN_IF_ERROR(WaitToRetry(size.status(), &backoff, options_.cancellation));
    }
  }

  // Gives the bytes from `offset` to `size` to `sink`, in order and without gaps.
  absl::Status ReadTo(int64_t size, int64_t offset, const Sink& sink) {
    size_ = size;
    offset_ = offset;
    Report();
    Backoff backoff(options_.backoff);
    while (offset_ < size_) {
      const int64_t before = offset_;
      const absl::Status status = ReadSegment(sink);
      if (offset_ > before) backoff.Reset();
      if (!status.ok()) RETURN_IF_ERROR(WaitToRetry(status, &backoff, options_.cancellation));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<int64_t> AskSize() {
    if (IsCancelled(options_.cancellation)) return absl::CancelledError("stopped");
    grpc::ClientContext context;
    SetDeadline(options_.call_timeout, &context);
    const Cancellation::Scope scope(options_.cancellation, &context);
    v1::GetArtifactRequest request;
    request.set_name(name_);
    v1::Artifact artifact;
    RETURN_IF_ERROR(FromGrpcStatus(stub_->GetArtifact(&context, request, &artifact)));
    if (artifact.size_bytes() < 0) return absl::InternalError("the server gave a negative size");
    return artifact.size_bytes();
  }

  absl::Status ReadSegment(const Sink& sink) {
    if (IsCancelled(options_.cancellation)) return absl::CancelledError("stopped");
    grpc::ClientContext context;
    SetDeadline(options_.segment_timeout, &context);
    const Cancellation::Scope scope(options_.cancellation, &context);
    v1::ReadArtifactRequest request;
    request.set_name(name_);
    request.set_offset(offset_);
    request.set_limit_bytes(std::min(options_.segment_bytes, size_ - offset_));
    const int64_t end = offset_ + request.limit_bytes();
    const auto reader = stub_->ReadArtifact(&context, request);
    v1::ReadArtifactResponse response;
    absl::Status status;
    while (status.ok() && reader->Read(&response)) status = Take(response, end, sink);
    if (!status.ok()) context.TryCancel();
    const absl::Status finish = FromGrpcStatus(reader->Finish());
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(finish);
    if (offset_ == end) return absl::OkStatus();
    return absl::UnavailableError("the server ended the stream too early");
  }

  absl::Status Take(const v1::ReadArtifactResponse& response, int64_t end, const Sink& sink) {
    const int64_t length = static_cast<int64_t>(response.data().size());
    if (response.offset() != offset_ || length > end - offset_) {
      return absl::InternalError(absl::StrCat("the server sent ", length, " bytes from offset ",
                                              response.offset(), "; wanted were those from ",
                                              offset_, " to ", end));
    }
    RETURN_IF_ERROR(sink(offset_, response.data()));
    offset_ += length;
    Report();
    return absl::OkStatus();
  }

  void Report() const {
    if (options_.progress) options_.progress(offset_, size_);
  }

  v1::ArtifactService::Stub* const stub_;
  const std::string name_;
  const TransferOptions& options_;
  int64_t size_ = 0;
  int64_t offset_ = 0;
};

// Adds the first `size` bytes of `file` to `hash`.
absl::Status HashPrefix(const LocalFile& file, int64_t size, Sha256* hash) {
  for (int64_t offset = 0; offset < size; offset += kHashChunkBytes) {
    ASSIGN_OR_RETURN(const std::string bytes,
                     file.ReadAt(offset, std::min(kHashChunkBytes, size - offset)));
    hash->Update(bytes);
  }
  return absl::OkStatus();
}

absl::Status WrongDigest() {
  return absl::DataLossError("the bytes received are not those of the digest; try again");
}

// Brings `partial` to the whole artifact; true if it now has the right digest.
absl::StatusOr<bool> Complete(RangeReader* reader, int64_t size, absl::string_view digest,
                              LocalFile* partial) {
  ASSIGN_OR_RETURN(int64_t present, partial->Size());
  if (present > size) present = 0;
  RETURN_IF_ERROR(partial->Truncate(present));
  Sha256 hash;
  RETURN_IF_ERROR(HashPrefix(*partial, present, &hash));
  RETURN_IF_ERROR(reader->ReadTo(size, present, [&](int64_t offset, absl::string_view bytes) {
    hash.Update(bytes);
    return partial->WriteAt(offset, bytes);
  }));
  return hash.HexDigest() == digest;
}

absl::Status DownloadTo(RangeReader* reader, const std::string& digest, const std::string& path) {
  ASSIGN_OR_RETURN(const int64_t size, reader->Size());
  ASSIGN_OR_RETURN(LocalFile partial, LocalFile::OpenExclusively(PartialPath(path, digest)));
  ASSIGN_OR_RETURN(const int64_t resumed_from, partial.Size());
  ASSIGN_OR_RETURN(bool whole, Complete(reader, size, digest, &partial));
  if (!whole && resumed_from > 0) {
    // What an earlier process left may have been damaged: once more, from nothing.
    RETURN_IF_ERROR(partial.Truncate(0));
    ASSIGN_OR_RETURN(whole, Complete(reader, size, digest, &partial));
  }
  if (!whole) {
    unlink(partial.path().c_str());
    return WrongDigest();
  }
  return partial.MoveTo(path);
}

absl::StatusOr<std::string> ReadAll(RangeReader* reader, const std::string& digest,
                                    int64_t max_bytes) {
  ASSIGN_OR_RETURN(const int64_t size, reader->Size());
  if (size > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("it has ", size, " bytes, more than the ", max_bytes, " expected at most"));
  }
  std::string all;
  RETURN_IF_ERROR(reader->ReadTo(size, 0, [&](int64_t, absl::string_view bytes) {
    all.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }));
  if (Sha256Hex(all) != digest) return WrongDigest();
  return all;
}

std::string ArtifactName(const std::string& project, const std::string& digest) {
  return absl::StrCat(project, "/artifacts/", digest);
}

}  // namespace

ArtifactTransfer::ArtifactTransfer(std::shared_ptr<grpc::Channel> channel)
    : channel_(std::move(channel)) {}

std::string PartialPath(const std::string& path, absl::string_view digest) {
  return absl::StrCat(path, ".", digest.substr(0, 12), ".partial");
}

absl::Status ArtifactTransfer::Download(const std::string& project, const std::string& digest,
                                        const std::string& path, const TransferOptions& options) {
  if (!IsSha256Hex(digest)) {
    return absl::InvalidArgumentError(absl::StrCat("not a SHA-256 digest: \"", digest, "\""));
  }
  const auto stub = v1::ArtifactService::NewStub(channel_);
  RangeReader reader(stub.get(), ArtifactName(project, digest), options);
  return Annotate(DownloadTo(&reader, digest, path),
                  absl::StrCat("download of ", digest, " to ", path));
}

absl::StatusOr<std::string> ArtifactTransfer::Read(const std::string& project,
                                                   const std::string& digest, int64_t max_bytes,
                                                   const TransferOptions& options) {
  if (!IsSha256Hex(digest)) {
    return absl::InvalidArgumentError(absl::StrCat("not a SHA-256 digest: \"", digest, "\""));
  }
  const auto stub = v1::ArtifactService::NewStub(channel_);
  RangeReader reader(stub.get(), ArtifactName(project, digest), options);
  absl::StatusOr<std::string> bytes = ReadAll(&reader, digest, max_bytes);
  if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat("download of ", digest));
  return bytes;
}

}  // namespace topiary
