// Writes jobs to the SQLite store named by its argument until it is killed, and prints a line on
// standard output after each acknowledged write: "inserted ID", "started ID", "finished ID".
// For sqlite_crash_test.

#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/clock.h"
#include "server/jobs/sqlite_metadata_store.h"

namespace topiary {
namespace {

constexpr int kThreads = 4;

void Acknowledge(const std::string& what, const std::string& id) {
  const std::string line = absl::StrCat(what, " ", id, "\n");
  // One write that appends a short line to a file is atomic.
  CHECK_EQ(write(STDOUT_FILENO, line.data(), line.size()), static_cast<ssize_t>(line.size()));
}

void WriteForever(MetadataStore* store, const std::string& prefix) {
  for (int i = 0;; ++i) {
    Job job;
    job.project = "p";
    job.id = absl::StrCat(prefix, "-", i);
    job.spec.assign(2000, 's');
    CHECK_OK(store->Insert(job, 1 << 30, store->Now()).status());
    Acknowledge("inserted", job.id);
    const absl::StatusOr<Job> started =
        store->Acquire(job.name(), "w", "t", store->Now() + absl::Hours(1), true, store->Now());
    CHECK(started.ok()) << started.status().ToString();
    Acknowledge("started", job.id);
    AttemptOutcome outcome;
    outcome.result = "done";
    CHECK_OK(store->FinishAttempt(started->lease->attempt, outcome, store->Now()).status());
    Acknowledge("finished", job.id);
  }
}

}  // namespace
}  // namespace topiary

int main(int argc, char** argv) {
  CHECK_EQ(argc, 3);
  topiary::SqliteOptions options;
  options.path = argv[1];
  auto store = topiary::OpenSqliteMetadataStore(options, topiary::SystemClock());
  CHECK_OK(store.status());
  std::vector<std::thread> threads;
  for (int t = 0; t < topiary::kThreads; ++t) {
    threads.emplace_back(topiary::WriteForever, store->get(), absl::StrCat(argv[2], "-", t));
  }
  for (std::thread& thread : threads) thread.join();
}
