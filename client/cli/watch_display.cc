#include "client/cli/watch_display.h"

#include "absl/strings/str_cat.h"
#include "client/cli/job_view.h"
#include "client/cli/messages.h"

namespace topiary {
namespace {

constexpr absl::Duration kPlainInterval = absl::Seconds(5);

}  // namespace

WatchDisplay::WatchDisplay(Terminal* terminal, absl::TimeZone zone)
    : terminal_(terminal), zone_(zone) {}

void WatchDisplay::Show(const v1::JobEvent& event) {
  if (terminal_->json()) {
    terminal_->Print(absl::StrCat(ToJson(event), "\n"));
  } else if (event.has_state_change()) {
    ShowStateChange(event);
  } else if (event.has_progress()) {
    ShowProgress(event, absl::FromUnixSeconds(event.time().seconds()) +
                            absl::Nanoseconds(event.time().nanos()));
  }
}

void WatchDisplay::ShowStateChange(const v1::JobEvent& event) {
  terminal_->Note(StateLine(event, zone_));
  if (event.state_change().state() != v1::JOB_STATE_RUNNING) return;
  attempt_began_ = absl::FromUnixSeconds(event.time().seconds());
  first_step_ = -1;
}

void WatchDisplay::ShowProgress(const v1::JobEvent& event, absl::Time time) {
  const bool new_phase = event.progress().phase() != view_.phase;
  view_ = ViewOf(event.progress(), view_);
  if (attempt_began_ != absl::InfinitePast()) view_.elapsed = time - attempt_began_;
  if (first_step_ < 0) {
    first_step_ = view_.step;
    first_step_at_ = time;
  }
  if (view_.remaining == absl::InfiniteDuration()) {
    view_.remaining =
        EstimateRemaining(first_step_, view_.step, view_.total_steps, time - first_step_at_);
  }
  if (terminal_->interactive()) {
    terminal_->Redraw(RenderProgressBar(view_, terminal_->width()));
  } else if (new_phase || time - printed_ >= kPlainInterval) {
    terminal_->Note(RenderProgressLine(view_));
    printed_ = time;
  }
}

void WatchDisplay::End() { terminal_->EndDrawing(); }

}  // namespace topiary
