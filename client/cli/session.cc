#include "client/cli/session.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/exit_code.h"
#include "client/cli/format.h"
#include "client/cli/messages.h"
#include "client/cli/progress_bar.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr absl::Duration kRedrawInterval = absl::Milliseconds(100);

}  // namespace

Session::Session(const GlobalFlags& flags, Terminal* terminal, Cancellation* cancellation)
    : server_(flags.server),
      project_(absl::StartsWith(flags.project, "projects/")
                   ? flags.project
                   : absl::StrCat("projects/", flags.project)),
      terminal_(terminal),
      cancellation_(cancellation) {}

void Session::UseServer(const std::string& target) {
  server_ = target;
  channel_ = nullptr;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Session::channel() {
  if (channel_ == nullptr) {
    ChannelOptions options;
    options.target = server_;
    absl::StatusOr<std::shared_ptr<grpc::Channel>> made = NewChannel(options);
    if (!made.ok()) return UsageError(made.status().message());
    channel_ = *std::move(made);
  }
  return channel_;
}

absl::StatusOr<JobClient> Session::jobs() {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> connection, channel());
  return JobClient(std::move(connection), project_);
}

absl::StatusOr<ArtifactTransfer> Session::artifacts() {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> connection, channel());
  return ArtifactTransfer(std::move(connection));
}

TransferOptions Session::Transfers(const std::string& title) const {
  TransferOptions options;
  options.cancellation = cancellation_;
  if (!terminal_->interactive()) return options;
  const absl::Time began = absl::Now();
  const std::string head = absl::StrFormat("%-28s ", Printable(title));
  options.progress = [this, head, began, drawn = absl::InfinitePast()](int64_t done,
                                                                       int64_t total) mutable {
    const absl::Time now = absl::Now();
    if (done < total && now - drawn < kRedrawInterval) return;
    drawn = now;
    const int width = std::max(20, terminal_->width() - DisplayWidth(head));
    terminal_->Redraw(absl::StrCat(head, RenderTransferBar(done, total, now - began, width)));
    if (done == total) terminal_->EndDrawing();
  };
  return options;
}

void Session::PrintJson(const google::protobuf::Message& message) const {
  terminal_->Print(absl::StrCat(ToJson(message), "\n"));
}

}  // namespace topiary
