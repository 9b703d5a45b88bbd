#include "client/testing/fake_artifact_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/digest.h"

namespace topiary {
namespace {

constexpr int64_t kReadChunkBytes = 64 << 10;

std::string LastPart(const std::string& name) { return name.substr(name.rfind('/') + 1); }

grpc::Status Cut() { return {grpc::StatusCode::UNAVAILABLE, "cut by the test"}; }

grpc::Status NoSuch(const std::string& name) {
  return {grpc::StatusCode::NOT_FOUND, absl::StrCat("there is no ", name)};
}

void Describe(const std::string& digest, int64_t size, v1::Artifact* artifact) {
  artifact->set_name(absl::StrCat("projects/p/artifacts/", digest));
  artifact->set_digest(digest);
  artifact->set_size_bytes(size);
}

}  // namespace

void FakeArtifactService::CutNextWriteAfter(int64_t bytes) {
  MutexLock lock(&mutex_);
  cut_write_ = bytes;
}

void FakeArtifactService::CutNextReadAfter(int64_t bytes) {
  MutexLock lock(&mutex_);
  cut_read_ = bytes;
}

void FakeArtifactService::CutAllWritesAfter(int64_t bytes) {
  MutexLock lock(&mutex_);
  cut_all_writes_ = bytes;
}

void FakeArtifactService::CorruptNextRead() {
  MutexLock lock(&mutex_);
  corrupt_read_ = true;
}

void FakeArtifactService::CorruptNextWrite() {
  MutexLock lock(&mutex_);
  corrupt_write_ = true;
}

void FakeArtifactService::ForgetNextUpload() {
  MutexLock lock(&mutex_);
  forget_upload_ = true;
}

void FakeArtifactService::Put(const std::string& bytes) {
  MutexLock lock(&mutex_);
  artifacts_[Sha256Hex(bytes)] = bytes;
}

std::string FakeArtifactService::Get(const std::string& digest) const {
  MutexLock lock(&mutex_);
  const auto found = artifacts_.find(digest);
  return found == artifacts_.end() ? "" : found->second;
}

int64_t FakeArtifactService::bytes_received() const {
  MutexLock lock(&mutex_);
  return bytes_received_;
}

int64_t FakeArtifactService::bytes_sent() const {
  MutexLock lock(&mutex_);
  return bytes_sent_;
}

std::string FakeArtifactService::last_display_name() const {
  MutexLock lock(&mutex_);
  return last_display_name_;
}

FakeArtifactService::Pending* FakeArtifactService::Find(const std::string& name) {
  const auto found = uploads_.find(name);
  return found == uploads_.end() ? nullptr : &found->second;
}

grpc::Status FakeArtifactService::BeginUpload(grpc::ServerContext*,
                                              const v1::BeginUploadRequest* request,
                                              v1::Upload* response) {
  MutexLock lock(&mutex_);
  last_display_name_ = request->display_name();
  response->set_size_bytes(request->size_bytes());
  if (artifacts_.count(request->digest()) > 0) {
    Describe(request->digest(), request->size_bytes(), response->mutable_artifact());
    return grpc::Status::OK;
  }
  const std::string name = absl::StrCat("projects/p/uploads/", request->digest().substr(0, 8));
  Pending& upload = uploads_[name];
  upload.digest = request->digest();
  upload.size = request->size_bytes();
  response->set_name(name);
  response->set_committed_bytes(static_cast<int64_t>(upload.bytes.size()));
  return grpc::Status::OK;
}

grpc::Status FakeArtifactService::Store(const v1::WriteUploadRequest& request, int64_t limit,
                                        Pending* upload) {
  if (request.offset() != static_cast<int64_t>(upload->bytes.size())) {
    return {grpc::StatusCode::ABORTED, "the offset is not where the upload stands"};
  }
  std::string data = request.data();
  const bool cut = limit >= 0 && static_cast<int64_t>(data.size()) >= limit;
  if (cut) data.resize(limit);
  if (corrupt_write_ && !data.empty()) {
    data[0] = static_cast<char>(data[0] ^ 1);
    corrupt_write_ = false;
  }
  bytes_received_ += static_cast<int64_t>(data.size());
  upload->bytes += data;
  return cut ? Cut() : grpc::Status::OK;
}

grpc::Status FakeArtifactService::WriteUpload(grpc::ServerContext*,
                                              grpc::ServerReader<v1::WriteUploadRequest>* reader,
                                              v1::Upload* response) {
  v1::WriteUploadRequest request;
  std::string name;
  int64_t limit = -1;
  {
    MutexLock lock(&mutex_);
    limit = std::exchange(cut_write_, -1);
    if (cut_all_writes_ >= 0) limit = cut_all_writes_;
  }
  while (reader->Read(&request)) {
    if (!request.name().empty()) name = request.name();
    MutexLock lock(&mutex_);
    Pending* upload = Find(name);
    if (upload == nullptr) return NoSuch(name);
    const grpc::Status status = Store(request, limit, upload);
    if (!status.ok()) return status;
    if (limit >= 0) limit -= static_cast<int64_t>(request.data().size());
  }
  MutexLock lock(&mutex_);
  const Pending* upload = Find(name);
  if (upload == nullptr) return NoSuch(name);
  response->set_name(name);
  response->set_size_bytes(upload->size);
  response->set_committed_bytes(static_cast<int64_t>(upload->bytes.size()));
  return grpc::Status::OK;
}

grpc::Status FakeArtifactService::FinishUpload(grpc::ServerContext*,
                                               const v1::FinishUploadRequest* request,
                                               v1::Artifact* response) {
  MutexLock lock(&mutex_);
  if (std::exchange(forget_upload_, false)) uploads_.erase(request->name());
  Pending* upload = Find(request->name());
  if (upload == nullptr) return NoSuch(request->name());
  if (static_cast<int64_t>(upload->bytes.size()) != upload->size) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "bytes are missing"};
  }
  const Pending done = *upload;
  uploads_.erase(request->name());
  if (Sha256Hex(done.bytes) != done.digest) {
    return {grpc::StatusCode::DATA_LOSS, "the bytes are not those of the digest"};
  }
  artifacts_[done.digest] = done.bytes;
  Describe(done.digest, done.size, response);
  return grpc::Status::OK;
}

grpc::Status FakeArtifactService::GetArtifact(grpc::ServerContext*,
                                              const v1::GetArtifactRequest* request,
                                              v1::Artifact* response) {
  MutexLock lock(&mutex_);
  const auto found = artifacts_.find(LastPart(request->name()));
  if (found == artifacts_.end()) return NoSuch(request->name());
  Describe(found->first, static_cast<int64_t>(found->second.size()), response);
  return grpc::Status::OK;
}

grpc::Status FakeArtifactService::ReadArtifact(
    grpc::ServerContext*, const v1::ReadArtifactRequest* request,
    grpc::ServerWriter<v1::ReadArtifactResponse>* writer) {
  std::string bytes = Get(LastPart(request->name()));
  int64_t cut = -1;
  {
    MutexLock lock(&mutex_);
    cut = std::exchange(cut_read_, -1);
    if (std::exchange(corrupt_read_, false)) bytes[0] = static_cast<char>(bytes[0] ^ 1);
  }
  const int64_t size = static_cast<int64_t>(bytes.size());
  int64_t end = request->limit_bytes() > 0 ? request->offset() + request->limit_bytes() : size;
  if (cut >= 0) end = std::min(end, request->offset() + cut);
  v1::ReadArtifactResponse response;
  response.set_size_bytes(size);
  for (int64_t offset = request->offset(); offset < end; offset += kReadChunkBytes) {
    response.set_offset(offset);
    response.set_data(bytes.substr(offset, std::min(kReadChunkBytes, end - offset)));
    if (!writer->Write(response)) break;
    MutexLock lock(&mutex_);
    bytes_sent_ += static_cast<int64_t>(response.data().size());
  }
  return cut >= 0 ? Cut() : grpc::Status::OK;
}

}  // namespace topiary
