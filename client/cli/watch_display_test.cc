#include "client/cli/watch_display.h"

#include <cstdio>
#include <string>

#include "gtest/gtest.h"

namespace topiary {
namespace {

// What was written to the two streams, which are no terminals.
class Display : public testing::Test {
 protected:
  void Show(bool json, const std::vector<v1::JobEvent>& events) {
    Terminal terminal(out_, err_, json);
    WatchDisplay display(&terminal, absl::UTCTimeZone());
    for (const v1::JobEvent& event : events) display.Show(event);
    display.End();
  }

  static std::string Contents(std::FILE* file) {
    EXPECT_EQ(std::fseek(file, 0, SEEK_SET), 0);
    std::string text(100000, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file));
    return text;
  }

  ~Display() override {
    std::fclose(out_);
    std::fclose(err_);
  }

  std::FILE* out_ = std::tmpfile();
  std::FILE* err_ = std::tmpfile();
};

v1::JobEvent State(int64_t second, v1::JobState state) {
  v1::JobEvent event;
  event.set_sequence(second + 1);
  event.mutable_time()->set_seconds(second);
  event.mutable_state_change()->set_state(state);
  return event;
}

v1::JobEvent Progress(int64_t second, const std::string& phase, int64_t step) {
  v1::JobEvent event;
  event.set_sequence(second + 1);
  event.mutable_time()->set_seconds(second);
  event.mutable_progress()->set_phase(phase);
  event.mutable_progress()->set_step(step);
  event.mutable_progress()->set_total_steps(100);
  return event;
}

TEST_F(Display, WithoutATerminalThereAreSparePlainLines) {
  Show(false, {State(0, v1::JOB_STATE_RUNNING), Progress(1, "dense", 10), Progress(2, "dense", 20),
               Progress(3, "sparse", 30), Progress(9, "sparse", 90)});
  EXPECT_EQ(Contents(err_),
            "00:00:00  running  unspecified\n"
            "phase dense step 10/100 elapsed 0:01\n"
            "phase sparse step 30/100 elapsed 0:03 remaining 0:07\n"
            "phase sparse step 90/100 elapsed 0:09 remaining 0:01\n");
  EXPECT_EQ(Contents(out_), "");
}

TEST_F(Display, JsonIsOneEventPerLineOnStandardOutput) {
  Show(true, {State(0, v1::JOB_STATE_RUNNING), Progress(1, "dense", 10)});
  EXPECT_EQ(Contents(out_),
            "{\"sequence\":\"1\",\"time\":\"1970-01-01T00:00:00Z\",\"state_change\":"
            "{\"state\":\"JOB_STATE_RUNNING\"}}\n"
            "{\"sequence\":\"2\",\"time\":\"1970-01-01T00:00:01Z\",\"progress\":"
            "{\"phase\":\"dense\",\"step\":\"10\",\"total_steps\":\"100\"}}\n");
  EXPECT_EQ(Contents(err_), "");
}

TEST_F(Display, ASecondAttemptIsTimedFromItsOwnStart) {
  Show(false,
       {State(0, v1::JOB_STATE_RUNNING), Progress(5, "dense", 50), State(20, v1::JOB_STATE_QUEUED),
        State(30, v1::JOB_STATE_RUNNING), Progress(31, "dense", 50), Progress(40, "dense", 80)});
  EXPECT_NE(Contents(err_).find("step 80/100 elapsed 0:10 remaining 0:06"), std::string::npos)
      << Contents(err_);
}

}  // namespace
}  // namespace topiary
