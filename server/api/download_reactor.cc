#include "server/api/download_reactor.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

constexpr int64_t kChunkBytes = 512 * 1024;

}  // namespace

DownloadReactor::DownloadReactor(const v1::ReadArtifactRequest& request,
                                 ArtifactRepository* artifacts, ServerMetrics* metrics,
                                 Executor* executor, StreamRegistry* streams)
    : StepwiseReactor(executor, streams),
      name_(ParseArtifactName(request.name()).value_or(ArtifactName())),
      limit_(request.limit_bytes()),
      artifacts_(artifacts),
      metrics_(metrics),
      offset_(request.offset()) {}

void DownloadReactor::Open() {
  absl::StatusOr<OpenArtifact> opened = artifacts_->Open(name_.project, name_.digest);
  if (!opened.ok()) return End(opened.status());
  reader_ = std::move(opened->reader);
  const int64_t size = reader_->size();
  if (offset_ > size) {
    return End(WithReason(absl::OutOfRangeError(absl::StrCat(
                              "offset ", offset_, " is beyond the artifact's ", size, " bytes")),
                          kReasonRangeOutside));
  }
  end_ = limit_ == 0 ? size : offset_ + std::min(limit_, size - offset_);
  chunk_.set_size_bytes(size);
  SendChunk();
}

void DownloadReactor::SendChunk() {
  std::string* data = chunk_.mutable_data();
  data->resize(static_cast<size_t>(std::min(kChunkBytes, end_ - offset_)));
  const auto read = reader_->Read(offset_, absl::MakeSpan(&(*data)[0], data->size()));
  if (!read.ok()) return End(read.status());
  if (*read != data->size()) {
    return End(absl::DataLossError(absl::StrCat("artifact ", name_.digest, " is cut short")));
  }
  chunk_.set_offset(offset_);
  offset_ += static_cast<int64_t>(*read);
  StartWrite(&chunk_);
}

void DownloadReactor::OnWriteDone(bool ok) {
  if (!ok) return End(absl::CancelledError("the client has gone away"));
  metrics_->AddDownloadedBytes(static_cast<int64_t>(chunk_.data().size()));
  if (offset_ == end_) return End(absl::OkStatus());
  NextStep([this] { SendChunk(); });
}

}  // namespace topiary
