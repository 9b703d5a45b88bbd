#include "server/api/artifact_service.h"

#include <memory>
#include <string>
#include <utility>

#include "common/logging.h"
#include "common/status_macros.h"
#include "server/api/artifact_proto.h"
#include "server/api/dispatch.h"
#include "server/api/download_reactor.h"
#include "server/api/request_validation.h"
#include "server/api/upload_reactor.h"

namespace topiary {

grpc::ServerUnaryReactor* ArtifactService::BeginUpload(grpc::CallbackServerContext* context,
                                                       const v1::BeginUploadRequest* request,
                                                       v1::Upload* response) {
  return Dispatch(context, executor_, ValidateBeginUpload(*request), [=]() -> absl::Status {
    BeginUploadRequest begin;
    begin.project = ParseProjectName(request->parent()).value_or("");
    begin.digest = request->digest();
    begin.size_bytes = request->size_bytes();
    begin.kind = FromProto(request->kind());
    begin.display_name = request->display_name();
    ASSIGN_OR_RETURN(const UploadStatus upload, artifacts_->BeginUpload(begin));
    *response = ToProto(upload);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ArtifactService::GetUpload(grpc::CallbackServerContext* context,
                                                     const v1::GetUploadRequest* request,
                                                     v1::Upload* response) {
  const absl::StatusOr<UploadName> name = RequireUpload(request->name());
  return Dispatch(context, executor_, name.status(), [=]() -> absl::Status {
    ASSIGN_OR_RETURN(const UploadStatus upload, artifacts_->GetUpload(name->project, name->id));
    *response = ToProto(upload);
    return absl::OkStatus();
  });
}

grpc::ServerReadReactor<v1::WriteUploadRequest>* ArtifactService::WriteUpload(
    grpc::CallbackServerContext* /*context*/, v1::Upload* response) {
  auto reactor =
      std::make_shared<UploadReactor>(artifacts_, metrics_, response, executor_, streams_);
  return UploadReactor::Launch(std::move(reactor), absl::OkStatus(), &UploadReactor::AskForChunk);
}

grpc::ServerUnaryReactor* ArtifactService::FinishUpload(grpc::CallbackServerContext* context,
                                                        const v1::FinishUploadRequest* request,
                                                        v1::Artifact* response) {
  const absl::StatusOr<UploadName> name = RequireUpload(request->name());
  return Dispatch(context, executor_, name.status(), [=]() -> absl::Status {
    ASSIGN_OR_RETURN(const Artifact artifact, artifacts_->FinishUpload(name->project, name->id));
    *response = ToProto(artifact);
    return absl::OkStatus();
  });
}

grpc::ServerWriteReactor<v1::ReadArtifactResponse>* ArtifactService::ReadArtifact(
    grpc::CallbackServerContext* /*context*/, const v1::ReadArtifactRequest* request) {
  auto reactor =
      std::make_shared<DownloadReactor>(*request, artifacts_, metrics_, executor_, streams_);
  return DownloadReactor::Launch(std::move(reactor), ValidateReadArtifact(*request),
                                 &DownloadReactor::Open);
}

grpc::ServerUnaryReactor* ArtifactService::GetArtifact(grpc::CallbackServerContext* context,
                                                       const v1::GetArtifactRequest* request,
                                                       v1::Artifact* response) {
  const absl::StatusOr<ArtifactName> name = RequireArtifact(request->name());
  return Dispatch(context, executor_, name.status(), [=]() -> absl::Status {
    ASSIGN_OR_RETURN(const Artifact artifact, artifacts_->Get(name->project, name->digest));
    *response = ToProto(artifact);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ArtifactService::ListArtifacts(grpc::CallbackServerContext* context,
                                                         const v1::ListArtifactsRequest* request,
                                                         v1::ListArtifactsResponse* response) {
  return Dispatch(context, executor_, ValidateListArtifacts(*request), [=]() -> absl::Status {
    ArtifactQuery query;
    query.project = ParseProjectName(request->parent()).value_or("");
    for (int i = 0; i < request->kinds_size(); ++i) {
      query.kinds.push_back(FromProto(request->kinds(i)));
    }
    query.page_size = PageSizeOf(request->page_size());
    query.page_token = request->page_token();
    ASSIGN_OR_RETURN(const ArtifactPage page, artifacts_->List(query));
    for (const Artifact& artifact : page.artifacts) *response->add_artifacts() = ToProto(artifact);
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ArtifactService::DeleteArtifact(grpc::CallbackServerContext* context,
                                                          const v1::DeleteArtifactRequest* request,
                                                          google::protobuf::Empty* /*response*/) {
  const absl::StatusOr<ArtifactName> name = RequireArtifact(request->name());
  return Dispatch(context, executor_, name.status(), [=]() -> absl::Status {
    RETURN_IF_ERROR(artifacts_->Delete(name->project, name->digest));
    LogInfo("artifact deleted", {{"project", name->project}, {"digest", name->digest}});
    return absl::OkStatus();
  });
}

}  // namespace topiary
