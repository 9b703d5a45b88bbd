#include "server/jobs/sqlite_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_matchers.h"
#include "server/jobs/sqlite_connection.h"

namespace topiary {
namespace {

class SqliteWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = absl::StrCat(testing::TempDir(), "/writer-", getpid(), "-",
                         testing::UnitTest::GetInstance()->current_test_info()->name(), ".db");
    ASSERT_OK_AND_ASSIGN(auto connection,
                         SqliteConnection::Open(path_, SqliteConnection::Mode::kReadWrite));
    ASSERT_OK(connection->Execute("CREATE TABLE a (x INTEGER)"));
    writer_ = std::make_unique<SqliteWriter>(std::move(connection));
  }

  static absl::Status Insert(SqliteConnection& db) {
    return db.Execute("INSERT INTO a VALUES (1)");
  }

  int64_t Rows() {
    int64_t rows = -1;
    const auto reader = SqliteConnection::Open(path_, SqliteConnection::Mode::kReadOnly);
    EXPECT_OK(reader.status());
    EXPECT_OK((*reader)->Query("SELECT COUNT(*) FROM a", {},
                               [&](const SqlRow& row) { rows = row.Integer(0); }));
    return rows;
  }

  std::string path_;
  std::unique_ptr<SqliteWriter> writer_;
};

TEST_F(SqliteWriterTest, WritesAreThereOnceItReturns) {
  EXPECT_OK(writer_->Run(Insert));
  EXPECT_EQ(Rows(), 1);
}

TEST_F(SqliteWriterTest, AnErrorUndoesTheWritesBeforeIt) {
  EXPECT_THAT(writer_->Run([](SqliteConnection& db) {
    EXPECT_OK(Insert(db));
    return absl::AbortedError("changed my mind");
  }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Rows(), 0);
}

// Without their savepoint, neither the end nor the undoing of an operation works.
TEST_F(SqliteWriterTest, WritesThatCannotBeUndoneAloneAreNotCommitted) {
  EXPECT_THAT(writer_->Run([](SqliteConnection& db) {
    EXPECT_OK(Insert(db));
    EXPECT_OK(db.Execute("RELEASE operation"));
    return absl::AbortedError("changed my mind");
  }),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Rows(), 0);
}

TEST_F(SqliteWriterTest, WritesWhoseSavepointCannotBeEndedAreNotCommitted) {
  EXPECT_THAT(writer_->Run([](SqliteConnection& db) {
    EXPECT_OK(Insert(db));
    return db.Execute("RELEASE operation");
  }),
              StatusIs(absl::StatusCode::kInternal, testing::HasSubstr("savepoint")));
  EXPECT_EQ(Rows(), 0);
  EXPECT_OK(writer_->Run(Insert));  // and the next transaction is one of its own
  EXPECT_EQ(Rows(), 1);
}

}  // namespace
}  // namespace topiary
