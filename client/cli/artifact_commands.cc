#include "client/cli/artifact_commands.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/job_view.h"
#include "common/digest.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "topiary/v1/artifacts.grpc.pb.h"

namespace topiary {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(30);

absl::StatusOr<v1::ArtifactKind> ParseKind(const std::string& word) {
  if (word == "model") return v1::ARTIFACT_KIND_MODEL;
  if (word == "data") return v1::ARTIFACT_KIND_DATA;
  if (word == "result") return v1::ARTIFACT_KIND_RESULT;
  if (word == "checkpoint") return v1::ARTIFACT_KIND_CHECKPOINT;
  return UsageError(
      absl::StrCat("--kind knows no \"", word, "\"; there are model, data, result, checkpoint"));
}

std::string NameOf(const Session& session, const std::string& digest) {
  return absl::StrCat(session.project(), "/artifacts/", digest);
}

struct PutFlags {
  std::vector<std::string> files;
  std::string kind = "data";
};

absl::StatusOr<ExitCode> Put(const PutFlags& flags, Session* session) {
  ASSIGN_OR_RETURN(const v1::ArtifactKind kind, ParseKind(flags.kind));
  ASSIGN_OR_RETURN(ArtifactTransfer transfer, session->artifacts());
  for (const std::string& file : flags.files) {
    UploadSource source;
    source.path = file;
    source.kind = kind;
    ASSIGN_OR_RETURN(const v1::Artifact artifact,
                     transfer.Upload(session->project(), source, session->Transfers(file)));
    if (session->terminal().json()) {
      session->PrintJson(artifact);
    } else {
      session->terminal().Print(absl::StrCat(artifact.digest(), "  ", file, "\n"));
    }
  }
  return ExitCode::kOk;
}

struct GetFlags {
  std::string digest;
  std::string path;
};

absl::StatusOr<ExitCode> Get(const GetFlags& flags, Session* session) {
  if (!IsSha256Hex(flags.digest)) {
    return UsageError(absl::StrCat("\"", flags.digest,
                                   "\" is not the SHA-256 of an artifact, 64 lower-case "
                                   "hexadecimal digits; `topiary artifact list` shows them"));
  }
  ASSIGN_OR_RETURN(ArtifactTransfer transfer, session->artifacts());
  RETURN_IF_ERROR(transfer.Download(session->project(), flags.digest, flags.path,
                                    session->Transfers(flags.path)));
  if (session->terminal().json()) session->terminal().Print("{}\n");
  return ExitCode::kOk;
}

struct ListFlags {
  std::vector<std::string> kinds;
};

absl::StatusOr<ExitCode> List(const ListFlags& flags, Session* session) {
  v1::ListArtifactsRequest request;
  request.set_parent(session->project());
  request.set_page_size(1000);
  for (const std::string& word : flags.kinds) {
    ASSIGN_OR_RETURN(const v1::ArtifactKind kind, ParseKind(word));
    request.add_kinds(kind);
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, session->channel());
  const auto stub = v1::ArtifactService::NewStub(channel);
  v1::ListArtifactsResponse all;
  do {
    grpc::ClientContext context;
    SetDeadline(kCallTimeout, &context);
    v1::ListArtifactsResponse page;
    RETURN_IF_ERROR(FromGrpcStatus(stub->ListArtifacts(&context, request, &page)));
    request.set_page_token(page.next_page_token());
    all.mutable_artifacts()->MergeFrom(page.artifacts());
  } while (!request.page_token().empty());
  if (session->terminal().json()) {
    session->PrintJson(all);
  } else {
    session->terminal().Print(
        ArtifactTable({all.artifacts().begin(), all.artifacts().end()}, absl::Now()));
  }
  return ExitCode::kOk;
}

absl::StatusOr<ExitCode> Remove(const std::vector<std::string>& digests, Session* session) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, session->channel());
  const auto stub = v1::ArtifactService::NewStub(channel);
  for (const std::string& digest : digests) {
    grpc::ClientContext context;
    SetDeadline(kCallTimeout, &context);
    v1::DeleteArtifactRequest request;
    request.set_name(NameOf(*session, digest));
    google::protobuf::Empty response;
    RETURN_IF_ERROR(FromGrpcStatus(stub->DeleteArtifact(&context, request, &response)));
  }
  if (session->terminal().json()) session->terminal().Print("{}\n");
  return ExitCode::kOk;
}

}  // namespace

void AddArtifactCommands(CommandSet* commands) {
  CLI::App* group = commands->AddGroup("artifact", "Move files to and from the server");

  const auto put = std::make_shared<PutFlags>();
  CLI::App* command =
      commands->Add(group, "put", "Upload files and print their digests; a cut upload goes on",
                    [put](Session* session) { return Put(*put, session); });
  command->add_option("file", put->files, "Files to upload")->required();
  command->add_option("--kind", put->kind, "model or data [data]");

  const auto get = std::make_shared<GetFlags>();
  command = commands->Add(group, "get", "Download an artifact; a cut download goes on",
                          [get](Session* session) { return Get(*get, session); });
  command->add_option("digest", get->digest, "SHA-256 of the artifact")->required();
  command->add_option("path", get->path, "File to write")->required();

  const auto list = std::make_shared<ListFlags>();
  command = commands->Add(group, "list", "List artifacts, newest first",
                          [list](Session* session) { return List(*list, session); });
  command->add_option("--kind", list->kinds,
                      "Only model, data, result, checkpoint [all but checkpoint]");

  const auto removed = std::make_shared<std::vector<std::string>>();
  command = commands->Add(group, "rm", "Remove artifacts that no live job needs",
                          [removed](Session* session) { return Remove(*removed, session); });
  command->add_option("digest", *removed, "SHA-256 of the artifacts")->required();
}

}  // namespace topiary
