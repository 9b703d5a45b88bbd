#include "client/cli/worker_command.h"

#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/job_view.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "topiary/v1/admin.grpc.pb.h"

namespace topiary {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(30);

absl::StatusOr<v1::ListWorkersResponse> List(v1::AdminService::Stub* stub) {
  v1::ListWorkersRequest request;
  request.set_page_size(1000);
  v1::ListWorkersResponse all;
  do {
    grpc::ClientContext context;
    SetDeadline(kCallTimeout, &context);
    v1::ListWorkersResponse page;
    RETURN_IF_ERROR(FromGrpcStatus(stub->ListWorkers(&context, request, &page)));
    request.set_page_token(page.next_page_token());
    all.mutable_workers()->MergeFrom(page.workers());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::ListWorkersResponse> Drain(v1::AdminService::Stub* stub,
                                              const std::string& worker) {
  grpc::ClientContext context;
  SetDeadline(kCallTimeout, &context);
  v1::DrainWorkerRequest request;
  request.set_name(absl::StartsWith(worker, "workers/") ? worker
                                                        : absl::StrCat("workers/", worker));
  v1::ListWorkersResponse response;
  RETURN_IF_ERROR(FromGrpcStatus(stub->DrainWorker(&context, request, response.add_workers())));
  return response;
}

absl::StatusOr<ExitCode> Workers(const std::string& drain, Session* session) {
  ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel, session->channel());
  const auto stub = v1::AdminService::NewStub(channel);
  ASSIGN_OR_RETURN(const v1::ListWorkersResponse response,
                   drain.empty() ? List(stub.get()) : Drain(stub.get(), drain));
  if (session->terminal().json()) {
    session->PrintJson(response);
  } else {
    session->terminal().Print(
        WorkerTable({response.workers().begin(), response.workers().end()}, absl::Now()));
  }
  return ExitCode::kOk;
}

}  // namespace

void AddWorkerCommand(CommandSet* commands) {
  const auto drain = std::make_shared<std::string>();
  CLI::App* command = commands->Add(commands->app(), "workers", "List the workers, or drain one",
                                    [drain](Session* session) { return Workers(*drain, session); });
  command->add_option("--drain", *drain,
                      "Ask this worker to hand back its work and to take no more");
}

}  // namespace topiary
