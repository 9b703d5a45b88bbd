#include "common/digest.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/file.h"
#include "common/status_matchers.h"

namespace topiary {
namespace {

// FIPS 180-4's examples.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr char kEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(Sha256, GivesTheStandardsDigests) {
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  EXPECT_EQ(Sha256Hex(""), kEmpty);
}

TEST(Sha256, PiecesGiveTheDigestOfTheWhole) {
  Sha256 digest;
  digest.Update("a");
  digest.Update("");
  digest.Update("bc");
  EXPECT_EQ(digest.HexDigest(), kAbc);
}

TEST(Sha256, ReadingTheDigestDoesNotEndTheStream) {
  Sha256 digest;
  EXPECT_EQ(digest.HexDigest(), kEmpty);
  digest.Update("abc");
  EXPECT_EQ(digest.HexDigest(), kAbc);
  EXPECT_EQ(digest.HexDigest(), kAbc);
}

TEST(Sha256, MovingKeepsTheState) {
  Sha256 digest;
  digest.Update("ab");
  Sha256 moved = std::move(digest);
  moved.Update("c");
  EXPECT_EQ(moved.HexDigest(), kAbc);
}

TEST(Sha256, OfAFileEqualsThatOfItsBytes) {
  const std::string path = testing::TempDir() + "/digest_test_file";
  const std::string contents(700000, 'x');  // More than one piece.
  ASSERT_OK(WriteFileAtomically(path, contents));
  EXPECT_THAT(Sha256HexOfFile(path), IsOkAndHolds(Sha256Hex(contents)));
}

TEST(Sha256, OfAMissingFileNamesIt) {
  EXPECT_THAT(Sha256HexOfFile("/nowhere/at/all"),
              StatusIs(absl::StatusCode::kNotFound, testing::HasSubstr("/nowhere/at/all")));
}

TEST(IsSha256Hex, TakesExactlySixtyFourLowerCaseDigits) {
  EXPECT_TRUE(IsSha256Hex(kAbc));
  EXPECT_FALSE(IsSha256Hex(""));
  EXPECT_FALSE(IsSha256Hex(std::string(63, 'a')));
  EXPECT_FALSE(IsSha256Hex(std::string(65, 'a')));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'A')));
  EXPECT_FALSE(IsSha256Hex(std::string(63, 'a') + "g"));
  EXPECT_FALSE(IsSha256Hex("../" + std::string(61, 'a')));
}

}  // namespace
}  // namespace topiary
