// A process that writes is killed with SIGKILL in the middle: what it acknowledged must be there.

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/clock.h"
#include "common/status_matchers.h"
#include "server/jobs/run_and_kill.h"
#include "server/jobs/sqlite_connection.h"
#include "server/jobs/sqlite_metadata_store.h"

namespace topiary {
namespace {

constexpr char kWriter[] = "server/jobs/sqlite_crash_writer";

TEST(SqliteCrash, NothingAcknowledgedIsLostByASigkill) {
  const std::string path = absl::StrCat(testing::TempDir(), "/crash-", getpid(), ".db");
  std::map<std::string, std::string> last;  // of each job, the last acknowledged write
  size_t may_be_unacknowledged = 0;
  for (int round = 0; round < 6; ++round) {
    const std::vector<std::string> lines =
        RunAndKill({kWriter, path, absl::StrCat("r", round)}, 37 + 50 * round);
    for (const std::string& line : lines) {
      const std::pair<std::string, std::string> parts = absl::StrSplit(line, ' ');
      last[parts.second] = parts.first;
    }
    may_be_unacknowledged += 4;  // one for each thread of the writer

    SqliteOptions options;
    options.path = path;
    ASSERT_OK_AND_ASSIGN(auto store, OpenSqliteMetadataStore(options, SystemClock()));
    for (const auto& [id, write] : last) {
      ASSERT_OK_AND_ASSIGN(const Job job, store->Get({"p", id}));
      EXPECT_GE(job.last_attempt, write == "inserted" ? 0 : 1) << id;
      if (write != "finished") continue;
      EXPECT_EQ(job.state, JobState::kSucceeded) << id;
      EXPECT_EQ(job.result, "done") << id;
    }
    ASSERT_OK_AND_ASSIGN(const auto counts, store->CountByState());
    size_t jobs = 0;
    for (const auto& [state, count] : counts) jobs += count;
    EXPECT_LE(jobs, last.size() + may_be_unacknowledged);
  }
  ASSERT_OK_AND_ASSIGN(auto db, SqliteConnection::Open(path, SqliteConnection::Mode::kReadWrite));
  std::string integrity;
  ASSERT_OK(db->Query("PRAGMA integrity_check", {},
                      [&](const SqlRow& row) { integrity = row.Bytes(0); }));
  EXPECT_EQ(integrity, "ok");
}

}  // namespace
}  // namespace topiary
