#include "server/jobs/sqlite_metadata_store.h"

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/jobs/metadata_store_conformance.h"
#include "server/jobs/sqlite_connection.h"
#include "server/jobs/sqlite_migrations.h"
#include "server/jobs/status_reason.h"

namespace topiary {
namespace {

// A path that no other test uses.
std::string NewPath() {
  static std::atomic<int> next{0};
  return absl::StrCat(testing::TempDir(), "/jobs-", getpid(), "-", next++, ".db");
}

std::unique_ptr<MetadataStore> OpenNew(Clock* clock) {
  SqliteOptions options;
  options.path = NewPath();
  auto store = OpenSqliteMetadataStore(options, clock);
  EXPECT_OK(store);
  return *std::move(store);
}

Job NewJob(const std::string& id) {
  Job job;
  job.project = "p";
  job.id = id;
  return job;
}

class SqliteMetadataStoreTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<MetadataStore>> Open() {
    return OpenSqliteMetadataStore(options_, &clock_);
  }

  FakeClock clock_;
  SqliteOptions options_ = [] {
    SqliteOptions options;
    options.path = NewPath();
    return options;
  }();
};

TEST_F(SqliteMetadataStoreTest, WhatWasStoredIsThereAfterReopening) {
  {
    ASSERT_OK_AND_ASSIGN(auto store, Open());
    ASSERT_OK(store->Insert(NewJob("j"), 10, clock_.Now()));
    ASSERT_OK(store->Acquire({"p", "j"}, "w", "token", clock_.Now() + absl::Seconds(30), true,
                             clock_.Now()));
  }
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  ASSERT_OK_AND_ASSIGN(const Job job, store->Get({"p", "j"}));
  EXPECT_EQ(job.state, JobState::kRunning);
  EXPECT_EQ(job.lease->attempt.token, "token");
  EXPECT_EQ(job.lease->expires_at, clock_.Now() + absl::Seconds(30));
}

TEST_F(SqliteMetadataStoreTest, ASecondProcessIsKeptOut) {
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               testing::HasSubstr("another process")));
  store.reset();
  EXPECT_OK(Open());
}

TEST_F(SqliteMetadataStoreTest, AFolderThatDoesNotExistIsNamed) {
  options_.path = "/nonexistent/folder/jobs.db";
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound,
                               testing::HasSubstr("/nonexistent/folder/jobs.db")));
}

TEST_F(SqliteMetadataStoreTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(options_.path) << std::string(8192, 'x');
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, testing::HasSubstr(options_.path)));
}

TEST_F(SqliteMetadataStoreTest, ADamagedPageIsDataLossNotACrash) {
  {
    ASSERT_OK_AND_ASSIGN(auto store, Open());
    for (int i = 0; i < 200; ++i) {
      ASSERT_OK(store->Insert(NewJob(absl::StrCat("j", i)), 1000, clock_.Now()));
    }
  }
  {
    std::fstream file(options_.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0, std::ios::end);
    const auto size = file.tellp();
    for (int64_t at = 4096; at < size; at += 4096) {  // all but the first page
      file.seekp(at);
      file << std::string(512, '\xee');
    }
  }
  auto store = Open();
  const absl::Status status =
      store.ok() ? (*store)->Insert(NewJob("new"), 1000, clock_.Now()).status() : store.status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SqliteMetadataStoreTest, AFullDiskIsResourceExhaustedAndWhatWasThereStays) {
  options_.max_bytes = 400 << 10;
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  absl::Status status;
  int stored = 0;
  for (; status.ok() && stored < 100000; ++stored) {
    Job job = NewJob(absl::StrCat("j", stored));
    job.spec.assign(10000, 's');
    status = store->Insert(job, 1 << 20, clock_.Now()).status();
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(status), kReasonStoreFull);
  --stored;
  ASSERT_GT(stored, 5);
  ASSERT_OK_AND_ASSIGN(const auto counts, store->CountByState());
  EXPECT_EQ(counts.at(JobState::kQueued), stored);
  ASSERT_OK(store->RequestCancel({"p", "j0"}, clock_.Now()));
  EXPECT_OK(store->Delete({"p", "j0"}));  // and space can be made
}

TEST_F(SqliteMetadataStoreTest, TwoThreadsNeverGetTheSameAttempt) {
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  constexpr int kJobs = 40;
  for (int i = 0; i < kJobs; ++i) {
    ASSERT_OK(store->Insert(NewJob(absl::StrCat("j", i)), 1000, clock_.Now()));
  }
  std::mutex mutex;
  std::multiset<std::string> taken;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kJobs; ++i) {
        const auto job =
            store->Acquire({"p", absl::StrCat("j", (i + 5 * t) % kJobs)}, absl::StrCat("w", t),
                           absl::StrCat(t), clock_.Now() + absl::Seconds(30), true, clock_.Now());
        if (!job.ok()) continue;
        std::lock_guard<std::mutex> lock(mutex);
        taken.insert(job->id);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.size(), static_cast<size_t>(kJobs));
  EXPECT_EQ(std::set<std::string>(taken.begin(), taken.end()).size(), taken.size());
}

TEST_F(SqliteMetadataStoreTest, ManyThreadsSubmittingOneRequestGetOneJob) {
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  std::mutex mutex;
  std::set<std::string> ids;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      Job job = NewJob(absl::StrCat("j", t));
      job.request_id = "the same";
      job.request_digest = "too";
      const auto stored = store->Insert(job, 1000, clock_.Now());
      ASSERT_OK(stored);
      std::lock_guard<std::mutex> lock(mutex);
      ids.insert(stored->id);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids.size(), 1u);
}

TEST_F(SqliteMetadataStoreTest, ReadersGoOnWhileOthersWrite) {
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      ASSERT_OK(store->Insert(NewJob(absl::StrCat("j", i)), 1 << 20, clock_.Now()));
    }
  });
  JobQuery query;
  query.project = "p";
  for (int i = 0; i < 50; ++i) EXPECT_OK(store->List(query));
  stop = true;
  writer.join();
}

TEST_F(SqliteMetadataStoreTest, AJobFromBeforeThereWereSweepsGoesOn) {
  {
    auto db = SqliteConnection::Open(options_.path, SqliteConnection::Mode::kReadWrite);
    ASSERT_OK(db.status());
    const absl::Span<const Migration> all = SqliteMigrations();
    ASSERT_EQ(all[1].name, "0002_bfloat16");
    ASSERT_OK(ApplyMigrations(db->get(), all.subspan(0, 2), absl::UnixEpoch()));
    // RUNNING, leased to "w" until 2100.
    ASSERT_OK((*db)->Script(
        "INSERT INTO jobs (project, id, uid, request_id, request_digest, state, reason, stop,"
        " failure_code, failure_message, spec_digest, priority, device, threads, memory_bytes,"
        " max_attempts, initial_backoff, maximum_backoff, deadline, keep_checkpoints, create_time,"
        " update_time, queue_time, eligible_time, start_time, end_time, last_attempt,"
        " attempts_spent, bit_exact, lease_worker, lease_token, lease_expires, lease_bit_exact,"
        " has_key, key_onednn, key_isa, key_threads, key_plan, progress, last_sequence,"
        " progress_events, last_progress_event) VALUES ('p', 'j', 'u', '', '', 2, 2, 0, 0, '', '', "
        "0,"
        " 0, 0, 0, 3, 0, 0, 9223372036854775807, 0, 0, 0, 0, 0, 0, 9223372036854775807, 1, 0, 1,"
        " 'w', 'token', 4102444800000000, 1, 0, '', '', 0, '', '', 1, 0, 0);"
        "INSERT INTO job_content VALUES ('p', 'j', 'spec', '');"
        "INSERT INTO job_attempts VALUES ('p', 'j', 1, 'w', 'token', 1, 1, 0,"
        " 9223372036854775807, 0, '');"
        "INSERT INTO job_events VALUES ('p', 'j', 1, 0, 1, 2, 2, 1, 'w', 0, '', '');"));
  }
  ASSERT_OK_AND_ASSIGN(auto store, Open());
  JobQuery query;
  query.project = "p";
  ASSERT_OK_AND_ASSIGN(const JobPage page, store->List(query));
  ASSERT_EQ(page.jobs.size(), 1);
  EXPECT_FALSE(page.jobs[0].is_sweep());
  EXPECT_EQ(page.jobs[0].parent, "");
  ASSERT_OK_AND_ASSIGN(const auto events, store->ListEvents({"p", "j"}, 0, 10));
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0].children, 0);
  ASSERT_OK_AND_ASSIGN(const auto held, store->ListHeld("w"));
  ASSERT_EQ(held.size(), 1);
  ASSERT_OK_AND_ASSIGN(const Job ended, store->FinishAttempt(held[0].lease->attempt,
                                                             AttemptOutcome(), clock_.Now()));
  EXPECT_EQ(ended.state, JobState::kSucceeded);
}

class MigrationsTest : public testing::Test {
 protected:
  std::unique_ptr<SqliteConnection> Connect() {
    return *SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite);
  }
  int64_t Count(SqliteConnection* db, const std::string& sql) {
    int64_t count = -1;
    EXPECT_OK(db->Query(sql, {}, [&](const SqlRow& row) { count = row.Integer(0); }));
    return count;
  }

  std::string path_ = NewPath();
  const Migration one_{1, "0001_one", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);"};
  const Migration two_{2, "0002_two", "ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 5;"};
};

TEST_F(MigrationsTest, EachIsAppliedOnce) {
  auto db = Connect();
  ASSERT_OK(ApplyMigrations(db.get(), {one_}, absl::UnixEpoch()));
  ASSERT_OK(ApplyMigrations(db.get(), {one_}, absl::UnixEpoch()));
  EXPECT_EQ(Count(db.get(), "SELECT COUNT(*) FROM a"), 1);
}

TEST_F(MigrationsTest, AnOlderDatabaseKeepsItsRows) {
  ASSERT_OK(ApplyMigrations(Connect().get(), {one_}, absl::UnixEpoch()));
  auto db = Connect();
  ASSERT_OK(ApplyMigrations(db.get(), {one_, two_}, absl::UnixEpoch()));
  EXPECT_EQ(Count(db.get(), "SELECT x * 10 + y FROM a"), 75);
}

TEST_F(MigrationsTest, ANewerDatabaseIsRefused) {
  auto db = Connect();
  ASSERT_OK(ApplyMigrations(db.get(), {one_, two_}, absl::UnixEpoch()));
  EXPECT_THAT(ApplyMigrations(db.get(), {one_}, absl::UnixEpoch()),
              StatusIs(absl::StatusCode::kFailedPrecondition, testing::HasSubstr("version 2")));
}

TEST_F(MigrationsTest, AFailedOneLeavesNoTrace) {
  auto db = Connect();
  const Migration broken{2, "0002_broken", "CREATE TABLE b (x INTEGER); SELECT nonsense;"};
  EXPECT_THAT(ApplyMigrations(db.get(), {one_, broken}, absl::UnixEpoch()),
              StatusIs(absl::StatusCode::kInternal, testing::HasSubstr("0002_broken")));
  EXPECT_EQ(Count(db.get(), "SELECT COUNT(*) FROM sqlite_master WHERE name = 'b'"), 0);
  EXPECT_OK(ApplyMigrations(db.get(), {one_, two_}, absl::UnixEpoch()));
}

TEST_F(MigrationsTest, TheEmbeddedOnesAreNumberedWithoutGaps) {
  int expected = 1;
  for (const Migration& migration : SqliteMigrations()) EXPECT_EQ(migration.version, expected++);
  EXPECT_GT(expected, 1);
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Sqlite, JobStoreConformance,
                         testing::Values(MetadataStoreFactory{"Sqlite", OpenNew}));
INSTANTIATE_TEST_SUITE_P(Sqlite, LeaseConformance,
                         testing::Values(MetadataStoreFactory{"Sqlite", OpenNew}));
INSTANTIATE_TEST_SUITE_P(Sqlite, JobEventsConformance,
                         testing::Values(MetadataStoreFactory{"Sqlite", OpenNew}));
INSTANTIATE_TEST_SUITE_P(Sqlite, ArtifactCatalogConformance,
                         testing::Values(MetadataStoreFactory{"Sqlite", OpenNew}));
INSTANTIATE_TEST_SUITE_P(Sqlite, SweepConformance,
                         testing::Values(MetadataStoreFactory{"Sqlite", OpenNew}));
INSTANTIATE_TEST_SUITE_P(Sqlite, MetadataStoreModelTest,
                         testing::Values(MetadataStoreFactory{"Sqlite", OpenNew}));

}  // namespace topiary
