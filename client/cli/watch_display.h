#ifndef TOPIARY_CLIENT_CLI_WATCH_DISPLAY_H_
#define TOPIARY_CLIENT_CLI_WATCH_DISPLAY_H_

#include <string>

#include "absl/time/time.h"
#include "client/cli/progress_bar.h"
#include "client/cli/terminal.h"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// Shows a job's events as they come: in a terminal a bar, redrawn in place; else a line for each
// state change and phase, and progress at most every 5 seconds of the job's time; with JSON output
// each event as a line of JSON. One thread.
class WatchDisplay {
 public:
  // `terminal` must outlive this.
  WatchDisplay(Terminal* terminal, absl::TimeZone zone);

  void Show(const v1::JobEvent& event);

  // The last bar stays.
  void End();

 private:
  void ShowStateChange(const v1::JobEvent& event);
  void ShowProgress(const v1::JobEvent& event, absl::Time time);

  Terminal* const terminal_;
  const absl::TimeZone zone_;
  ProgressView view_;
  absl::Time attempt_began_ = absl::InfinitePast();
  absl::Time printed_ = absl::InfinitePast();  // When the last plain line was.
  int64_t first_step_ = -1;                    // Of the attempt, as far as seen.
  absl::Time first_step_at_ = absl::InfinitePast();
};

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_WATCH_DISPLAY_H_
