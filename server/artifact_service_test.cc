#include <memory>
#include <string>
#include <vector>

#include "common/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/test_server.h"

// ArtifactService over a real socket, with the real stores behind it.
namespace topiary {
namespace {

using grpc::StatusCode;
using testing::IsEmpty;

std::string Pattern(size_t bytes) {
  std::string data(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<char>((i * 2654435761u) >> 13);
  return data;
}

class ArtifactServiceTest : public testing::Test {
 protected:
  v1::BeginUploadRequest BeginRequest(const std::string& bytes) {
    v1::BeginUploadRequest request;
    request.set_parent("projects/a");
    request.set_digest(Sha256Hex(bytes));
    request.set_size_bytes(static_cast<int64_t>(bytes.size()));
    request.set_kind(v1::ARTIFACT_KIND_MODEL);
    request.set_display_name("model.onnx");
    return request;
  }
  v1::Upload Begin(const v1::BeginUploadRequest& request) {
    v1::Upload upload;
    const grpc::Status status = server_.artifacts()->BeginUpload(Context().get(), request, &upload);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return upload;
  }
  // Sends chunks to an upload; `name` goes into the first only.
  grpc::Status Write(const std::string& name, int64_t offset,
                     const std::vector<std::string>& chunks, v1::Upload* upload) {
    const auto context = Context();
    auto writer = server_.artifacts()->WriteUpload(context.get(), upload);
    v1::WriteUploadRequest request;
    request.set_name(name);
    for (const std::string& chunk : chunks) {
      request.set_offset(offset);
      request.set_data(chunk);
      if (!writer->Write(request)) break;
      offset += static_cast<int64_t>(chunk.size());
      request.clear_name();
    }
    writer->WritesDone();
    return writer->Finish();
  }
  grpc::Status Finish(const std::string& name, v1::Artifact* artifact) {
    v1::FinishUploadRequest request;
    request.set_name(name);
    return server_.artifacts()->FinishUpload(Context().get(), request, artifact);
  }
  grpc::Status GetUpload(const std::string& name, v1::Upload* upload) {
    v1::GetUploadRequest request;
    request.set_name(name);
    return server_.artifacts()->GetUpload(Context().get(), request, upload);
  }
  // Reads a range; `messages` counts the messages it came in.
  grpc::Status Read(const std::string& digest, int64_t offset, int64_t limit, std::string* bytes,
                    int* messages = nullptr) {
    v1::ReadArtifactRequest request;
    request.set_name("projects/a/artifacts/" + digest);
    request.set_offset(offset);
    request.set_limit_bytes(limit);
    const auto context = Context();
    auto reader = server_.artifacts()->ReadArtifact(context.get(), request);
    v1::ReadArtifactResponse response;
    bytes->clear();
    while (reader->Read(&response)) {
      EXPECT_EQ(response.offset(), offset + static_cast<int64_t>(bytes->size()));
      EXPECT_LE(response.data().size(), 1024u * 1024u);
      *bytes += response.data();
      if (messages != nullptr) ++*messages;
    }
    return reader->Finish();
  }
  grpc::Status Delete(const std::string& digest) {
    v1::DeleteArtifactRequest request;
    request.set_name("projects/a/artifacts/" + digest);
    google::protobuf::Empty response;
    return server_.artifacts()->DeleteArtifact(Context().get(), request, &response);
  }

  TestServer server_;
};

// ---- Upload
// -----------------------------------------------------------------------------------------

TEST_F(ArtifactServiceTest, WhatIsUploadedInChunksComesBackWhole) {
  const std::string bytes = Pattern(3 * 1024 * 1024 + 17);
  const v1::Upload upload = Begin(BeginRequest(bytes));
  EXPECT_THAT(upload.name(), testing::StartsWith("projects/a/uploads/"));
  EXPECT_EQ(upload.committed_bytes(), 0);
  EXPECT_FALSE(upload.has_artifact());

  v1::Upload written;
  ASSERT_TRUE(
      Write(upload.name(), 0,
            {bytes.substr(0, 1000000), bytes.substr(1000000, 2000000), bytes.substr(3000000)},
            &written)
          .ok());
  EXPECT_EQ(written.committed_bytes(), static_cast<int64_t>(bytes.size()));

  v1::Artifact artifact;
  ASSERT_TRUE(Finish(upload.name(), &artifact).ok());
  EXPECT_EQ(artifact.digest(), Sha256Hex(bytes));
  EXPECT_EQ(artifact.name(), "projects/a/artifacts/" + artifact.digest());
  EXPECT_EQ(artifact.size_bytes(), static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(artifact.kind(), v1::ARTIFACT_KIND_MODEL);
  EXPECT_EQ(artifact.display_name(), "model.onnx");

  std::string read;
  int messages = 0;
  ASSERT_TRUE(Read(artifact.digest(), 0, 0, &read, &messages).ok());
  EXPECT_EQ(read, bytes);
  EXPECT_GT(messages, 1);
}

TEST_F(ArtifactServiceTest, ACutUploadGoesOnWhereItStopped) {
  const std::string bytes = Pattern(500000);
  const v1::Upload upload = Begin(BeginRequest(bytes));
  {
    const auto context = Context();
    v1::Upload ignored;
    auto writer = server_.artifacts()->WriteUpload(context.get(), &ignored);
    v1::WriteUploadRequest request;
    request.set_name(upload.name());
    request.set_data(bytes.substr(0, 200000));
    ASSERT_TRUE(writer->Write(request));
    // The chunk is stored before the connection breaks.
    v1::Upload state;
    while (state.committed_bytes() == 0) ASSERT_TRUE(GetUpload(upload.name(), &state).ok());
    context->TryCancel();
    EXPECT_FALSE(writer->Finish().ok());
  }
  const v1::Upload resumed = Begin(BeginRequest(bytes));
  EXPECT_EQ(resumed.name(), upload.name());
  EXPECT_EQ(resumed.committed_bytes(), 200000);
  v1::Upload written;
  ASSERT_TRUE(Write(resumed.name(), 200000, {bytes.substr(200000)}, &written).ok());
  v1::Artifact artifact;
  ASSERT_TRUE(Finish(resumed.name(), &artifact).ok());
  std::string read;
  ASSERT_TRUE(Read(artifact.digest(), 0, 0, &read).ok());
  EXPECT_EQ(read, bytes);
}

TEST_F(ArtifactServiceTest, AnUploadGoesOnAfterTheCoordinatorWasRestarted) {
  const std::string bytes = Pattern(300000);
  const v1::Upload upload = Begin(BeginRequest(bytes));
  v1::Upload written;
  ASSERT_TRUE(Write(upload.name(), 0, {bytes.substr(0, 100000)}, &written).ok());
  server_.Restart();
  ASSERT_TRUE(GetUpload(upload.name(), &written).ok());
  EXPECT_EQ(written.committed_bytes(), 100000);
  ASSERT_TRUE(Write(upload.name(), 100000, {bytes.substr(100000)}, &written).ok());
  v1::Artifact artifact;
  EXPECT_TRUE(Finish(upload.name(), &artifact).ok());
}

TEST_F(ArtifactServiceTest, KnownBytesNeedNoUpload) {
  const std::string digest = server_.Upload("some bytes");
  const v1::Upload upload = Begin(BeginRequest("some bytes"));
  EXPECT_EQ(upload.artifact().digest(), digest);
}

TEST_F(ArtifactServiceTest, BytesOfAnotherProjectMustBeUploadedAgain) {
  server_.Upload("some bytes");
  v1::BeginUploadRequest request = BeginRequest("some bytes");
  request.set_parent("projects/b");
  EXPECT_FALSE(Begin(request).has_artifact());
}

TEST_F(ArtifactServiceTest, AnEmptyArtifactIsAnArtifact) {
  const v1::Upload upload = Begin(BeginRequest(""));
  v1::Artifact artifact;
  ASSERT_TRUE(Finish(upload.name(), &artifact).ok());
  EXPECT_EQ(artifact.size_bytes(), 0);
  std::string read;
  int messages = 0;
  ASSERT_TRUE(Read(artifact.digest(), 0, 0, &read, &messages).ok());
  EXPECT_EQ(read, "");
  EXPECT_EQ(messages, 1);
}

TEST_F(ArtifactServiceTest, FinishingMayBeRepeated) {
  const v1::Upload upload = Begin(BeginRequest("x"));
  v1::Upload written;
  ASSERT_TRUE(Write(upload.name(), 0, {"x"}, &written).ok());
  v1::Artifact first;
  v1::Artifact second;
  ASSERT_TRUE(Finish(upload.name(), &first).ok());
  ASSERT_TRUE(Finish(upload.name(), &second).ok());
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
}

TEST_F(ArtifactServiceTest, AChunkAtTheWrongOffsetIsRefusedWithTheRightOne) {
  const v1::Upload upload = Begin(BeginRequest("0123456789"));
  v1::Upload written;
  ASSERT_TRUE(Write(upload.name(), 0, {"0123"}, &written).ok());
  for (const int64_t offset : {0, 2, 7}) {
    const grpc::Status status = Write(upload.name(), offset, {"x"}, &written);
    EXPECT_EQ(status.error_code(), StatusCode::ABORTED);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "UPLOAD_OFFSET_MISMATCH");
    EXPECT_EQ(ErrorInfoOf(status).metadata().at("committedBytes"), "4");
  }
}

TEST_F(ArtifactServiceTest, AnIncompleteUploadCannotBeFinished) {
  const v1::Upload upload = Begin(BeginRequest("0123456789"));
  v1::Upload written;
  ASSERT_TRUE(Write(upload.name(), 0, {"0123"}, &written).ok());
  v1::Artifact artifact;
  const grpc::Status status = Finish(upload.name(), &artifact);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "UPLOAD_INCOMPLETE");
}

TEST_F(ArtifactServiceTest, WrongBytesNeverBecomeAnArtifactAndTheUploadStartsAgain) {
  const v1::Upload upload = Begin(BeginRequest("right"));
  v1::Upload written;
  ASSERT_TRUE(Write(upload.name(), 0, {"wrong"}, &written).ok());
  v1::Artifact artifact;
  const grpc::Status status = Finish(upload.name(), &artifact);
  EXPECT_EQ(status.error_code(), StatusCode::DATA_LOSS);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "DIGEST_MISMATCH");
  std::string read;
  EXPECT_EQ(Read(Sha256Hex("wrong"), 0, 0, &read).error_code(), StatusCode::NOT_FOUND);
  ASSERT_TRUE(GetUpload(upload.name(), &written).ok());
  EXPECT_EQ(written.committed_bytes(), 0);
  ASSERT_TRUE(Write(upload.name(), 0, {"right"}, &written).ok());
  EXPECT_TRUE(Finish(upload.name(), &artifact).ok());
}

TEST_F(ArtifactServiceTest, MoreBytesThanAnnouncedAreRefused) {
  const v1::Upload upload = Begin(BeginRequest("four"));
  v1::Upload written;
  EXPECT_EQ(Write(upload.name(), 0, {"four and more"}, &written).error_code(),
            StatusCode::INVALID_ARGUMENT);
}

TEST_F(ArtifactServiceTest, AChunkThatIsTooLargeIsRefused) {
  const std::string bytes = Pattern(3 * 1024 * 1024);
  const v1::Upload upload = Begin(BeginRequest(bytes));
  v1::Upload written;
  const grpc::Status status = Write(upload.name(), 0, {bytes}, &written);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(BadRequestOf(status).field_violations(0).field(), "data");
}

TEST_F(ArtifactServiceTest, AStreamWithoutAName) {
  v1::Upload written;
  EXPECT_EQ(BadRequestOf(Write("", 0, {"x"}, &written)).field_violations(0).field(), "name");
  EXPECT_EQ(BadRequestOf(Write("", 0, {}, &written)).field_violations(0).field(), "name");
}

TEST_F(ArtifactServiceTest, AnUnknownUploadIsNotFound) {
  v1::Upload written;
  const grpc::Status status = Write("projects/a/uploads/unknown", 0, {"x"}, &written);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "UPLOAD_NOT_FOUND");
  EXPECT_EQ(GetUpload("projects/a/uploads/unknown", &written).error_code(), StatusCode::NOT_FOUND);
}

TEST(ArtifactServiceLimits, AnArtifactThatIsTooLargeIsRefusedBeforeItsBytes) {
  TestServer server([](ServerConfig* config) { config->max_artifact_bytes = 100; });
  v1::BeginUploadRequest request;
  request.set_parent("projects/a");
  request.set_digest(std::string(64, 'a'));
  request.set_size_bytes(101);
  request.set_kind(v1::ARTIFACT_KIND_DATA);
  v1::Upload upload;
  const grpc::Status status = server.artifacts()->BeginUpload(Context().get(), request, &upload);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "ARTIFACT_TOO_LARGE");
}

TEST(ArtifactServiceLimits, AProjectMayHaveOnlySoManyOpenUploads) {
  TestServer server([](ServerConfig* config) { config->max_open_uploads = 1; });
  v1::BeginUploadRequest request;
  request.set_parent("projects/a");
  request.set_digest(std::string(64, 'a'));
  request.set_size_bytes(10);
  request.set_kind(v1::ARTIFACT_KIND_DATA);
  v1::Upload upload;
  ASSERT_TRUE(server.artifacts()->BeginUpload(Context().get(), request, &upload).ok());
  request.set_digest(std::string(64, 'b'));
  const grpc::Status status = server.artifacts()->BeginUpload(Context().get(), request, &upload);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "TOO_MANY_UPLOADS");
}

// ---- Read, list, delete
// -------------------------------------------------------------------------------

struct RangeCase {
  const char* name;
  int64_t offset;
  int64_t limit;
  const char* expected;
};

class ReadRange : public ArtifactServiceTest, public testing::WithParamInterface<RangeCase> {};

TEST_P(ReadRange, GivesTheBytes) {
  const std::string digest = server_.Upload("0123456789");
  std::string read;
  ASSERT_TRUE(Read(digest, GetParam().offset, GetParam().limit, &read).ok());
  EXPECT_EQ(read, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Ranges, ReadRange,
                         testing::Values(RangeCase{"All", 0, 0, "0123456789"},
                                         RangeCase{"Middle", 3, 4, "3456"},
                                         RangeCase{"ToTheEnd", 7, 0, "789"},
                                         RangeCase{"BeyondTheEnd", 7, 100, "789"},
                                         RangeCase{"HugeLimit", 1, INT64_MAX, "123456789"},
                                         RangeCase{"AtTheEnd", 10, 0, ""}),
                         [](const auto& info) { return info.param.name; });

TEST_F(ArtifactServiceTest, AnOffsetBeyondTheEndIsOutOfRange) {
  const std::string digest = server_.Upload("0123456789");
  std::string read;
  const grpc::Status status = Read(digest, 11, 0, &read);
  EXPECT_EQ(status.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "RANGE_OUTSIDE_ARTIFACT");
}

TEST_F(ArtifactServiceTest, AReaderThatGoesAwayInTheMiddleDisturbsNobody) {
  const std::string bytes = Pattern(8 * 1024 * 1024);
  std::string digest;
  {
    const v1::Upload upload = Begin(BeginRequest(bytes));
    v1::Upload written;
    std::vector<std::string> chunks;
    for (size_t i = 0; i < bytes.size(); i += 1 << 20) chunks.push_back(bytes.substr(i, 1 << 20));
    ASSERT_TRUE(Write(upload.name(), 0, chunks, &written).ok());
    v1::Artifact artifact;
    ASSERT_TRUE(Finish(upload.name(), &artifact).ok());
    digest = artifact.digest();
  }
  v1::ReadArtifactRequest request;
  request.set_name("projects/a/artifacts/" + digest);
  const auto context = Context();
  auto reader = server_.artifacts()->ReadArtifact(context.get(), request);
  v1::ReadArtifactResponse response;
  ASSERT_TRUE(reader->Read(&response));
  context->TryCancel();
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
  std::string read;
  EXPECT_TRUE(Read(digest, 0, 100, &read).ok());
}

TEST_F(ArtifactServiceTest, AnUnknownArtifactIsNotFound) {
  const std::string digest(64, 'd');
  std::string read;
  v1::GetArtifactRequest get;
  get.set_name("projects/a/artifacts/" + digest);
  v1::Artifact artifact;
  for (const grpc::Status& status :
       {Read(digest, 0, 0, &read),
        server_.artifacts()->GetArtifact(Context().get(), get, &artifact), Delete(digest)}) {
    EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
    EXPECT_EQ(ErrorInfoOf(status).reason(), "ARTIFACT_NOT_FOUND");
  }
}

TEST_F(ArtifactServiceTest, AListHasPagesAndKinds) {
  const std::string first = server_.Upload("first");
  server_.clock()->Advance(absl::Seconds(1));
  const std::string second = server_.Upload("second");
  v1::ListArtifactsRequest request;
  request.set_parent("projects/a");
  request.set_page_size(1);
  v1::ListArtifactsResponse response;
  ASSERT_TRUE(server_.artifacts()->ListArtifacts(Context().get(), request, &response).ok());
  ASSERT_EQ(response.artifacts_size(), 1);
  EXPECT_EQ(response.artifacts(0).digest(), second);
  request.set_page_token(response.next_page_token());
  ASSERT_TRUE(server_.artifacts()->ListArtifacts(Context().get(), request, &response).ok());
  EXPECT_EQ(response.artifacts(0).digest(), first);
  EXPECT_EQ(response.next_page_token(), "");

  request.clear_page_token();
  request.add_kinds(v1::ARTIFACT_KIND_RESULT);
  ASSERT_TRUE(server_.artifacts()->ListArtifacts(Context().get(), request, &response).ok());
  EXPECT_THAT(response.artifacts(), IsEmpty());
}

TEST_F(ArtifactServiceTest, WhatALiveJobNeedsIsNotDeleted) {
  const v1::Job job = server_.CreateJob();
  const std::string digest = job.spec().model().files(0).digest();
  const grpc::Status status = Delete(digest);
  EXPECT_EQ(status.error_code(), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ErrorInfoOf(status).reason(), "ARTIFACT_IN_USE");
  EXPECT_EQ(PreconditionFailureOf(status).violations(0).subject(), job.name());

  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  v1::Job cancelled;
  ASSERT_TRUE(server_.jobs()->CancelJob(Context().get(), cancel, &cancelled).ok());
  EXPECT_TRUE(Delete(digest).ok());
  std::string read;
  EXPECT_EQ(Read(digest, 0, 0, &read).error_code(), StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace topiary
