// Thousands of random operations on a store and on a model of a few lines; after each, both agree.

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "server/jobs/metadata_store_conformance.h"

namespace topiary {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MetadataStoreModelTest);

namespace {

// What must be true of a job, told without leases, tokens or transitions of the real code.
struct ModelJob {
  JobState state = JobState::kQueued;
  bool stop = false;
  int attempt = 0;
  int spent = 0;
  absl::Time expires;
  absl::Time eligible;
};

class Model {
 public:
  static constexpr int kMaxAttempts = 3;

  std::map<std::string, ModelJob> jobs;

  bool Insert(const std::string& id) { return jobs.emplace(id, ModelJob()).second; }

  bool Acquire(const std::string& id, absl::Time now) {
    const auto it = jobs.find(id);
    if (it == jobs.end() || it->second.state != JobState::kQueued || it->second.eligible > now) {
      return false;
    }
    it->second.state = JobState::kRunning;
    it->second.expires = now + absl::Seconds(30);
    ++it->second.attempt;
    return true;
  }

  bool IsCurrent(const AttemptName& name) const {
    const auto it = jobs.find(name.job);
    return it != jobs.end() && it->second.state == JobState::kRunning &&
           it->second.attempt == name.attempt;
  }

  void End(const std::string& id, bool spend, absl::Time now) {
    ModelJob& job = jobs[id];
    if (spend) ++job.spent;
    if (job.stop) {
      job.state = JobState::kCancelled;
    } else if (spend && job.spent >= kMaxAttempts) {
      job.state = JobState::kFailed;
    } else {
      job.state = JobState::kQueued;
      job.eligible = now;
      if (spend) job.eligible += absl::Seconds(job.spent == 1 ? 1 : 2);
    }
  }

  void Cancel(const std::string& id) {
    ModelJob& job = jobs[id];
    if (job.state == JobState::kQueued) job.state = JobState::kCancelled;
    job.stop = true;
  }

  int Reclaim(absl::Time now) {
    int reclaimed = 0;
    for (auto& [id, job] : jobs) {
      if (job.state != JobState::kRunning || job.expires >= now) continue;
      End(id, true, now);
      ++reclaimed;
    }
    return reclaimed;
  }
};

}  // namespace

TEST_P(MetadataStoreModelTest, AgreesWithTheModelAfterEachOfThousandsOfOperations) {
  Model model;
  Random random(20260101, 1, 0);
  std::vector<AttemptName> names;  // every attempt there ever was: most are stale
  for (int step = 0; step < 2500; ++step) {
    const std::string id = absl::StrCat("j", random.Below(25));
    const auto op = random.Below(10);
    const bool known = model.jobs.count(id) == 1;
    SCOPED_TRACE(absl::StrCat("step ", step, " op ", op, " job ", id));
    if (op == 0) {
      EXPECT_EQ(store_->Insert(NewJob(id), 1000, now()).ok(), model.Insert(id));
    } else if (op <= 2) {
      const std::string token = absl::StrCat("token ", step);
      const auto job =
          store_->Acquire({"p", id}, "w", token, now() + absl::Seconds(30), true, now());
      ASSERT_EQ(job.ok(), model.Acquire(id, now()));
      if (job.ok()) names.push_back(job->lease->attempt);
    } else if (op == 3 && known) {
      ASSERT_OK(store_->RequestCancel({"p", id}, now()));
      if (!IsTerminal(model.jobs[id].state)) model.Cancel(id);
    } else if (op == 4 && known) {
      const bool ended = IsTerminal(model.jobs[id].state);
      ASSERT_EQ(store_->Delete({"p", id}).ok(), ended);
      if (ended) {
        model.jobs.erase(id);
        names.erase(std::remove_if(names.begin(), names.end(),
                                   [&](const AttemptName& name) { return name.job == id; }),
                    names.end());
      }
    } else if (op == 5) {
      clock_.Advance(absl::Seconds(random.Below(20)));
      ASSERT_OK_AND_ASSIGN(const auto moved, store_->ReclaimExpired(now(), 1000));
      ASSERT_EQ(static_cast<int>(moved.size()), model.Reclaim(now()));
    } else if (!names.empty()) {
      const AttemptName& name = names[random.Below(names.size())];
      const bool current = model.IsCurrent(name);
      if (op <= 7) {
        ASSERT_EQ(Report(name, absl::StrCat(step)).status.ok(), current);
        if (current) model.jobs[name.job].expires = now() + absl::Seconds(30);
      } else if (current) {
        const bool failed = op == 8;
        ASSERT_OK(store_->FinishAttempt(name, failed ? Failed() : HandedBack(), now()));
        model.End(name.job, failed, now());
      } else {
        ASSERT_FALSE(store_->FinishAttempt(name, Succeeded(), now()).ok());
      }
    }
    if (model.jobs.count(id) == 1) {
      const Job job = Get(id);
      ASSERT_EQ(job.state, model.jobs[id].state);
      ASSERT_EQ(job.last_attempt, model.jobs[id].attempt);
      ASSERT_EQ(job.attempts_spent, model.jobs[id].spent);
    } else {
      ASSERT_FALSE(store_->Get({"p", id}).ok());
    }
  }
}

}  // namespace topiary
