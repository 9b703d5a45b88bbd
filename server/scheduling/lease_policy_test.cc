#include "server/scheduling/lease_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace topiary {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const absl::Time kT0 = absl::FromUnixSeconds(1000);
constexpr absl::Duration kWait = absl::Minutes(10);

WorkerCapabilities Worker() {
  WorkerCapabilities worker;
  worker.slots = 4;
  worker.threads = 4;
  worker.memory_bytes = 1000;
  worker.isa = "avx512_core";
  worker.onednn_version = "3.2.0";
  worker.devices = {Device::kCpu};
  return worker;
}

QueuedJob Queued(const std::string& project, const std::string& id, int priority = 0,
                 int age_seconds = 0) {
  QueuedJob job;
  job.name = {project, id};
  job.priority = priority;
  job.create_time = kT0 - absl::Seconds(age_seconds);
  job.queue_time = kT0;
  return job;
}

std::vector<std::string> Ids(const Choice& choice) {
  std::vector<std::string> ids;
  for (const Pick& pick : choice.picks) {
    ids.push_back(absl::StrCat(pick.job.job, pick.bit_exact ? "" : " inexact"));
  }
  return ids;
}

struct DemandCase {
  const char* name;
  Placement demand;
  bool met;
};
class CanRunTest : public testing::TestWithParam<DemandCase> {};

TEST_P(CanRunTest, ComparesDemandAndCapabilities) {
  EXPECT_EQ(CanRun(Worker(), GetParam().demand), GetParam().met);
}
INSTANTIATE_TEST_SUITE_P(All, CanRunTest,
                         testing::Values(DemandCase{"Nothing", {}, true},
                                         DemandCase{"ItsDevice", {Device::kCpu, 0, 0}, true},
                                         DemandCase{"AnotherDevice", {Device::kCuda, 0, 0}, false},
                                         DemandCase{"AllThreads", {Device::kAny, 4, 0}, true},
                                         DemandCase{"MoreThreads", {Device::kAny, 5, 0}, false},
                                         DemandCase{"AllMemory", {Device::kAny, 0, 1000}, true},
                                         DemandCase{"MoreMemory", {Device::kAny, 0, 1001}, false}),
                         [](const auto& info) { return info.param.name; });

TEST(CanRun, OnlySomeInstructionSetsHaveBfloat16) {
  const Placement demand{Device::kCpu, 0, 0, true};
  WorkerCapabilities worker = Worker();
  for (const char* isa :
       {"avx512_core_bf16", "avx512_core_fp16", "avx512_core_amx", "avx512_core_amx_fp16"}) {
    worker.isa = isa;
    EXPECT_TRUE(CanRun(worker, demand)) << isa;
  }
  for (const char* isa : {"", "portable", "sse41", "avx2", "avx2_vnni", "avx2_vnni_2",
                          "avx512_core", "avx512_core_vnni", "some_isa_to_come"}) {
    worker.isa = isa;
    EXPECT_FALSE(CanRun(worker, demand)) << isa;
    EXPECT_TRUE(CanRun(worker, {Device::kCpu, 0, 0, false})) << isa;
  }
}

TEST(CanRun, AWorkerThatDoesNotKnowItsMemoryMeetsNoDemandForIt) {
  WorkerCapabilities worker = Worker();
  worker.memory_bytes = 0;
  EXPECT_TRUE(CanRun(worker, {}));
  EXPECT_FALSE(CanRun(worker, {Device::kAny, 0, 1}));
}

struct KeyCase {
  const char* name;
  DeterminismKey key;
  bool matches;
};
class MatchesKeyTest : public testing::TestWithParam<KeyCase> {};

TEST_P(MatchesKeyTest, NeedsTheSameLibraryAndInstructionSetAndEnoughThreads) {
  EXPECT_EQ(MatchesKey(Worker(), GetParam().key), GetParam().matches);
}
INSTANTIATE_TEST_SUITE_P(
    All, MatchesKeyTest,
    testing::Values(KeyCase{"Same", {"3.2.0", "avx512_core", 4, "plan"}, true},
                    KeyCase{"FewerThreads", {"3.2.0", "avx512_core", 1, "plan"}, true},
                    KeyCase{"LowerIsa", {"3.2.0", "avx2", 4, "plan"}, false},
                    KeyCase{"OtherLibrary", {"3.3.0", "avx512_core", 4, "plan"}, false},
                    KeyCase{"HigherIsa", {"3.2.0", "avx512_core_amx", 4, "plan"}, false},
                    KeyCase{"MoreThreads", {"3.2.0", "avx512_core", 8, "plan"}, false}),
    [](const auto& info) { return info.param.name; });

TEST(ChooseJobs, PriorityComesBeforeFairnessAndAge) {
  SchedulingSnapshot snapshot;
  snapshot.queued = {Queued("idle", "old", 0, 100), Queued("busy", "urgent", 1, 0)};
  snapshot.running_by_project = {{"busy", 50}};
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 1, kT0, kWait)), ElementsAre("urgent"));
}

TEST(ChooseJobs, TheProjectWithFewestRunningComesFirst) {
  SchedulingSnapshot snapshot;
  snapshot.queued = {Queued("busy", "b", 0, 100), Queued("idle", "i", 0, 1)};
  snapshot.running_by_project = {{"busy", 2}, {"idle", 1}};
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 1, kT0, kWait)), ElementsAre("i"));
}

TEST(ChooseJobs, PicksCountAsRunningSoProjectsTakeTurns) {
  SchedulingSnapshot snapshot;
  for (int i = 0; i < 3; ++i) {
    snapshot.queued.push_back(Queued("a", absl::StrCat("a", i), 0, 100 - i));
    snapshot.queued.push_back(Queued("b", absl::StrCat("b", i), 0, 50 - i));
  }
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 4, kT0, kWait)),
              ElementsAre("a0", "b0", "a1", "b1"));
}

TEST(ChooseJobs, WithinAProjectTheOldestComesFirst) {
  SchedulingSnapshot snapshot;
  snapshot.queued = {Queued("p", "young", 0, 1), Queued("p", "old", 0, 9),
                     Queued("p", "middle", 0, 5)};
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 9, kT0, kWait)),
              ElementsAre("old", "middle", "young"));
}

TEST(ChooseJobs, WhatTheWorkerCannotRunIsPassedOver) {
  SchedulingSnapshot snapshot;
  QueuedJob cuda = Queued("p", "cuda", 9);
  cuda.placement.device = Device::kCuda;
  snapshot.queued = {cuda, Queued("p", "cpu")};
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 2, kT0, kWait)), ElementsAre("cpu"));
}

// However long it has waited: unlike a determinism key, bfloat16 is nothing to do without.
TEST(ChooseJobs, AJobOfBfloat16WaitsForAWorkerThatHasIt) {
  SchedulingSnapshot snapshot;
  QueuedJob job = Queued("p", "bfloat16", 9);
  job.placement.bfloat16 = true;
  job.determinism_key = DeterminismKey{"3.2.0", "avx512_core_amx", 2, ""};
  snapshot.queued = {job, Queued("p", "float32")};
  const absl::Time late = kT0 + 2 * kWait;
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 2, late, kWait)), ElementsAre("float32"));
  WorkerCapabilities able = Worker();
  able.isa = "avx512_core_bf16";
  EXPECT_THAT(Ids(ChooseJobs(snapshot, able, 2, late, kWait)),
              ElementsAre("bfloat16 inexact", "float32"));
}

TEST(ChooseJobs, NothingIsChosenForNoSlots) {
  SchedulingSnapshot snapshot;
  snapshot.queued = {Queued("p", "j")};
  EXPECT_THAT(ChooseJobs(snapshot, Worker(), 0, kT0, kWait).picks, IsEmpty());
}

TEST(ChooseJobs, AJobWaitsForAWorkerThatMatchesItsKeyAndThenTakesAny) {
  SchedulingSnapshot snapshot;
  QueuedJob job = Queued("p", "j");
  job.determinism_key = DeterminismKey{"3.2.0", "avx512_core_amx", 2, ""};
  snapshot.queued = {job};
  Choice choice = ChooseJobs(snapshot, Worker(), 1, kT0, kWait);
  EXPECT_THAT(choice.picks, IsEmpty());
  EXPECT_EQ(choice.next, kT0 + kWait);
  choice = ChooseJobs(snapshot, Worker(), 1, kT0 + kWait, kWait);
  EXPECT_THAT(Ids(choice), ElementsAre("j inexact"));
  snapshot.queued[0].determinism_key->isa = "avx512_core";
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 1, kT0, kWait)), ElementsAre("j"));
}

TEST(ChooseJobs, AWorkerOfAHigherInstructionSetIsNoMatchEither) {
  SchedulingSnapshot snapshot;
  QueuedJob job = Queued("p", "j");
  job.determinism_key = DeterminismKey{"3.2.0", "avx2", 2, ""};
  snapshot.queued = {job};
  EXPECT_THAT(ChooseJobs(snapshot, Worker(), 1, kT0, kWait).picks, IsEmpty());
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 1, kT0 + kWait, kWait)), ElementsAre("j inexact"));
}

TEST(ChooseJobs, AJobThatIsNotBitExactAnyMoreDoesNotWait) {
  SchedulingSnapshot snapshot;
  QueuedJob job = Queued("p", "j");
  job.determinism_key = DeterminismKey{"9.9.9", "avx2", 2, ""};
  job.bit_exact = false;
  snapshot.queued = {job};
  EXPECT_THAT(Ids(ChooseJobs(snapshot, Worker(), 1, kT0, kWait)), ElementsAre("j inexact"));
}

TEST(ChooseJobs, TheNextLookIsAtTheEarliestBackoffOrWait) {
  SchedulingSnapshot snapshot;
  snapshot.next_eligible = kT0 + absl::Seconds(3);
  QueuedJob job = Queued("p", "j");
  job.determinism_key = DeterminismKey{"9.9.9", "avx2", 2, ""};
  snapshot.queued = {job};
  EXPECT_EQ(ChooseJobs(snapshot, Worker(), 1, kT0, kWait).next, kT0 + absl::Seconds(3));
  EXPECT_EQ(ChooseJobs({}, Worker(), 1, kT0, kWait).next, absl::InfiniteFuture());
}

struct OrderCase {
  const char* name;
  absl::Status status;
  StopReason stop;
  bool has_outcome;
  AttemptOrder::Action action;
  AttemptOrder::Reason reason;
};
class DecideOrderTest : public testing::TestWithParam<OrderCase> {};

TEST_P(DecideOrderTest, FollowsTheStoresVerdict) {
  const OrderCase& c = GetParam();
  const AttemptOrder order = DecideOrder({"p", "j", 3, "t"}, c.status, c.stop, c.has_outcome);
  EXPECT_EQ(order.action, c.action);
  EXPECT_EQ(order.reason, c.reason);
  EXPECT_EQ(order.job.job, "j");
  EXPECT_EQ(order.attempt, 3);
}

using Action = AttemptOrder::Action;
using Reason = AttemptOrder::Reason;
INSTANTIATE_TEST_SUITE_P(
    All, DecideOrderTest,
    testing::Values(OrderCase{"Running", absl::OkStatus(), StopReason::kNone, false,
                              Action::kContinue, Reason::kNone},
                    OrderCase{"Cancelled", absl::OkStatus(), StopReason::kCancelled, false,
                              Action::kStop, Reason::kCancelled},
                    OrderCase{"PastDeadline", absl::OkStatus(), StopReason::kDeadline, false,
                              Action::kStop, Reason::kDeadlineExceeded},
                    OrderCase{"Lost", absl::AbortedError(""), StopReason::kNone, false,
                              Action::kStop, Reason::kLeaseLost},
                    OrderCase{"Deleted", absl::NotFoundError(""), StopReason::kNone, false,
                              Action::kStop, Reason::kJobGone},
                    OrderCase{"Finished", absl::OkStatus(), StopReason::kNone, true,
                              Action::kForget, Reason::kRecorded},
                    OrderCase{"FinishedAsToldTo", absl::OkStatus(), StopReason::kCancelled, true,
                              Action::kForget, Reason::kRecorded},
                    OrderCase{"FinishedTooLate", absl::AbortedError(""), StopReason::kNone, true,
                              Action::kForget, Reason::kLeaseLost},
                    OrderCase{"FinishedAfterDeletion", absl::NotFoundError(""), StopReason::kNone,
                              true, Action::kForget, Reason::kJobGone}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace topiary
