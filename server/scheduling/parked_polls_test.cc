#include "server/scheduling/parked_polls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topiary {
namespace {

using Parking = ParkedPolls::Parking;
const absl::Time kT0 = absl::FromUnixSeconds(1000);

ParkedPolls::Call NewCall(const std::string& worker, int64_t sequence) {
  auto call = std::make_shared<PollCall>();
  call->sequence = sequence;
  call->report.worker = worker;
  call->is_cancelled = [] { return false; };
  call->deadline = kT0 + absl::Minutes(1);
  call->wake_at = absl::InfiniteFuture();
  return call;
}

class ParkedPollsTest : public testing::Test {
 protected:
  Parking Park(const ParkedPolls::Call& call) {
    return polls_.Park(call, polls_.generation(), &displaced_);
  }

  ParkedPolls polls_;
  ParkedPolls::Call displaced_;
};

TEST_F(ParkedPollsTest, AnEventBetweenLookingAndParkingIsNotMissed) {
  const uint64_t generation = polls_.generation();
  polls_.TakeAll();
  EXPECT_EQ(polls_.Park(NewCall("w", 1), generation, &displaced_), Parking::kLookAgain);
  EXPECT_EQ(Park(NewCall("w", 1)), Parking::kParked);
}

TEST_F(ParkedPollsTest, ANewerCallDisplacesAnOlderOneAndNotTheOtherWayRound) {
  const auto old = NewCall("w", 1);
  Park(old);
  EXPECT_EQ(Park(NewCall("w", 2)), Parking::kParked);
  EXPECT_EQ(displaced_, old);
  EXPECT_EQ(Park(NewCall("w", 1)), Parking::kSuperseded);
}

TEST_F(ParkedPollsTest, CallsAreDueByDeadlineWakeTimeOrCancellation) {
  bool cancelled = false;
  const auto patient = NewCall("patient", 1);
  const auto impatient = NewCall("impatient", 2);
  impatient->deadline = kT0;
  const auto waking = NewCall("waking", 3);
  waking->wake_at = kT0;
  const auto leaving = NewCall("leaving", 4);
  leaving->is_cancelled = [&] { return cancelled; };
  for (const auto& call : {patient, impatient, waking, leaving}) Park(call);
  EXPECT_THAT(polls_.TakeDue(kT0 - absl::Seconds(1)), testing::IsEmpty());
  EXPECT_THAT(polls_.TakeDue(kT0), testing::UnorderedElementsAre(impatient, waking));
  cancelled = true;
  EXPECT_THAT(polls_.TakeDue(kT0), testing::ElementsAre(leaving));
  EXPECT_EQ(polls_.Take("patient"), patient);
  EXPECT_EQ(polls_.Take("patient"), nullptr);
}

}  // namespace
}  // namespace topiary
