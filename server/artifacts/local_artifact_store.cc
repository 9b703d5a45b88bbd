#include "server/artifacts/local_artifact_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "server/artifacts/artifact_errors.h"
#include "server/artifacts/digest_locks.h"
#include "server/artifacts/file_descriptor.h"

namespace topiary {
namespace {

constexpr char kCommittedSuffix[] = ".committed";

absl::Time ModifyTime(const struct stat& status) { return absl::TimeFromTimespec(status.st_mtim); }

// Names in a folder, sorted; none if there is no such folder.
absl::StatusOr<std::vector<std::string>> Names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator it(folder, error);
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error && error.value() != ENOENT) return FileError(error.value(), "list", folder);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status Unlink(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return FileError(errno, "delete", path);
}

class LocalReader final : public BlobReader {
 public:
  LocalReader(FileDescriptor file, int64_t size) : file_(std::move(file)), size_(size) {}

  int64_t size() const override { return size_; }

  absl::StatusOr<size_t> Read(int64_t offset, absl::Span<char> buffer) override {
    if (offset < 0 || offset > size_) return RangeOutside(offset, size_);
    return file_.ReadAt(offset, buffer);
  }

 private:
  const FileDescriptor file_;
  const int64_t size_;
};

class LocalArtifactStore final : public ArtifactStore {
 public:
  explicit LocalArtifactStore(const std::string& root)
      : blobs_(absl::StrCat(root, "/blobs")), uploads_(absl::StrCat(root, "/uploads")) {}

  absl::Status CreateFolders() {
    RETURN_IF_ERROR(topiary::CreateFolders(blobs_));
    return topiary::CreateFolders(uploads_);
  }

  absl::Status CreateUpload(const std::string& upload) override;
  absl::StatusOr<int64_t> UploadOffset(const std::string& upload) override;
  absl::StatusOr<int64_t> AppendUpload(const std::string& upload, int64_t offset,
                                       absl::string_view bytes) override;
  absl::Status CommitUpload(const std::string& upload, const std::string& digest,
                            int64_t size_bytes) override;
  absl::Status AbandonUpload(const std::string& upload) override;
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const std::string& digest) override;
  absl::Status Delete(const std::string& digest) override;
  absl::StatusOr<std::vector<BlobInfo>> ListBlobs(const std::string& after, int limit) override;
  absl::StatusOr<std::vector<PartialInfo>> ListUploads() override;

 private:
  std::string UploadPath(const std::string& upload) const {
    return absl::StrCat(uploads_, "/", upload);
  }
  std::string MarkerPath(const std::string& upload) const {
    return absl::StrCat(uploads_, "/", upload, kCommittedSuffix);
  }
  std::string BlobFolder(absl::string_view digest) const {
    return absl::StrCat(blobs_, "/", digest.substr(0, 2));
  }
  std::string BlobPath(absl::string_view digest) const {
    return absl::StrCat(BlobFolder(digest), "/", digest);
  }
  // The digest that the upload became; "" if it did not yet, or if that blob was deleted since.
  std::string CommittedDigest(const std::string& upload) const {
    const absl::StatusOr<std::string> digest = ReadFile(MarkerPath(upload), 64);
    if (!digest.ok() || !IsSha256Hex(*digest)) return "";
    return access(BlobPath(*digest).c_str(), F_OK) == 0 ? *digest : "";
  }
  absl::StatusOr<int64_t> CommittedSize(const std::string& upload);
  absl::Status Verify(const FileDescriptor& file, const std::string& upload,
                      const std::string& digest, int64_t size_bytes) const;
  absl::Status Publish(const std::string& upload, const std::string& digest);

  const std::string blobs_;
  const std::string uploads_;
  DigestLocks locks_;  // on upload ids: one thread at a time works on an upload
};

absl::Status LocalArtifactStore::CreateUpload(const std::string& upload) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  const DigestLocks::Claim claim = locks_.Acquire(upload);
  if (!CommittedDigest(upload).empty()) return absl::OkStatus();
  return FileDescriptor::Open(UploadPath(upload), O_WRONLY | O_CREAT).status();
}

absl::StatusOr<int64_t> LocalArtifactStore::CommittedSize(const std::string& upload) {
  const std::string digest = CommittedDigest(upload);
  if (digest.empty()) return UploadNotFound(upload);
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> blob, Open(digest));
  return blob->size();
}

absl::StatusOr<int64_t> LocalArtifactStore::UploadOffset(const std::string& upload) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  const DigestLocks::Claim claim = locks_.Acquire(upload);
  const absl::StatusOr<FileDescriptor> file = FileDescriptor::Open(UploadPath(upload), O_RDONLY);
  if (absl::IsNotFound(file.status())) return CommittedSize(upload);
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const struct stat status, file->Stat());
  return static_cast<int64_t>(status.st_size);
}

absl::StatusOr<int64_t> LocalArtifactStore::AppendUpload(const std::string& upload, int64_t offset,
                                                         absl::string_view bytes) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  const DigestLocks::Claim claim = locks_.Acquire(upload);
  const absl::StatusOr<FileDescriptor> file = FileDescriptor::Open(UploadPath(upload), O_WRONLY);
  if (absl::IsNotFound(file.status())) return UploadNotFound(upload);
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const struct stat status, file->Stat());
  if (offset != status.st_size) return OffsetMismatch(upload, offset, status.st_size);
  RETURN_IF_ERROR(file->WriteAt(offset, bytes));
  return offset + static_cast<int64_t>(bytes.size());
}

absl::Status LocalArtifactStore::Verify(const FileDescriptor& file, const std::string& upload,
                                        const std::string& digest, int64_t size_bytes) const {
  ASSIGN_OR_RETURN(const struct stat status, file.Stat());
  if (status.st_size < size_bytes) return UploadIncomplete(upload, status.st_size, size_bytes);
  absl::Status wrong;
  if (status.st_size > size_bytes) {
    wrong = TooManyBytes(upload, status.st_size, size_bytes);
  } else {
    ASSIGN_OR_RETURN(const std::string actual, Sha256HexOfFile(UploadPath(upload)));
    if (actual != digest) wrong = DigestMismatch(upload, digest, actual);
  }
  if (!wrong.ok()) RETURN_IF_ERROR(file.Truncate(0));
  return wrong;
}

absl::Status LocalArtifactStore::Publish(const std::string& upload, const std::string& digest) {
  RETURN_IF_ERROR(topiary::CreateFolders(BlobFolder(digest)));
  RETURN_IF_ERROR(SyncFolder(blobs_));
  // The marker proves, if this call is repeated, that this very upload had the bytes.
  RETURN_IF_ERROR(WriteFileAtomically(MarkerPath(upload), digest));
  if (rename(UploadPath(upload).c_str(), BlobPath(digest).c_str()) != 0) {
    return FileError(errno, "rename to", BlobPath(digest));
  }
  return SyncFolder(BlobFolder(digest));
}

absl::Status LocalArtifactStore::CommitUpload(const std::string& upload, const std::string& digest,
                                              int64_t size_bytes) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  RETURN_IF_ERROR(CheckDigest(digest));
  const DigestLocks::Claim claim = locks_.Acquire(upload);
  const absl::StatusOr<FileDescriptor> file = FileDescriptor::Open(UploadPath(upload), O_RDWR);
  if (absl::IsNotFound(file.status())) {
    if (CommittedDigest(upload) != digest) return UploadNotFound(upload);
    return Open(digest).status();
  }
  RETURN_IF_ERROR(file.status());
  RETURN_IF_ERROR(Verify(*file, upload, digest, size_bytes));
  // The age of a blob counts from here, not from the last byte of a slow upload.
  RETURN_IF_ERROR(file->Touch());
  RETURN_IF_ERROR(file->Sync());
  return Publish(upload, digest);
}

absl::Status LocalArtifactStore::AbandonUpload(const std::string& upload) {
  RETURN_IF_ERROR(CheckUploadId(upload));
  const DigestLocks::Claim claim = locks_.Acquire(upload);
  RETURN_IF_ERROR(Unlink(UploadPath(upload)));
  return Unlink(MarkerPath(upload));
}

absl::StatusOr<std::unique_ptr<BlobReader>> LocalArtifactStore::Open(const std::string& digest) {
  RETURN_IF_ERROR(CheckDigest(digest));
  absl::StatusOr<FileDescriptor> file = FileDescriptor::Open(BlobPath(digest), O_RDONLY);
  if (absl::IsNotFound(file.status())) return BlobNotFound(digest);
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const struct stat status, file->Stat());
  return std::make_unique<LocalReader>(*std::move(file), status.st_size);
}

absl::Status LocalArtifactStore::Delete(const std::string& digest) {
  RETURN_IF_ERROR(CheckDigest(digest));
  return Unlink(BlobPath(digest));
}

absl::StatusOr<std::vector<BlobInfo>> LocalArtifactStore::ListBlobs(const std::string& after,
                                                                    int limit) {
  std::vector<BlobInfo> blobs;
  ASSIGN_OR_RETURN(const std::vector<std::string> folders, Names(blobs_));
  for (const std::string& folder : folders) {
    if (folder < after.substr(0, 2)) continue;
    ASSIGN_OR_RETURN(const std::vector<std::string> names,
                     Names(absl::StrCat(blobs_, "/", folder)));
    for (const std::string& name : names) {
      if (name <= after || !IsSha256Hex(name)) continue;
      if (blobs.size() >= static_cast<size_t>(limit)) return blobs;
      struct stat status;
      if (stat(BlobPath(name).c_str(), &status) != 0) continue;  // deleted meanwhile
      blobs.push_back({name, status.st_size, ModifyTime(status)});
    }
  }
  return blobs;
}

absl::StatusOr<std::vector<PartialInfo>> LocalArtifactStore::ListUploads() {
  std::map<std::string, absl::Time> uploads;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(uploads_));
  for (const std::string& name : names) {
    const std::string upload(absl::StripSuffix(name, kCommittedSuffix));
    struct stat status;
    if (!CheckUploadId(upload).ok() || stat(UploadPath(name).c_str(), &status) != 0) continue;
    absl::Time& time = uploads.emplace(upload, absl::UnixEpoch()).first->second;
    time = std::max(time, ModifyTime(status));
  }
  std::vector<PartialInfo> partials;
  for (const auto& [upload, time] : uploads) partials.push_back({upload, time});
  return partials;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenLocalArtifactStore(const std::string& root) {
  auto store = std::make_unique<LocalArtifactStore>(root);
  RETURN_IF_ERROR(store->CreateFolders());
  return store;
}

}  // namespace topiary
