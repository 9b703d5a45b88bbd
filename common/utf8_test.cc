#include "common/utf8.h"

#include <gtest/gtest.h>

namespace topiary {
namespace {

TEST(PrintableUtf8, NamesInAnyScriptAreFine) {
  for (const char* name : {"", "layer1/conv:0", "größe", "重み", "\xF0\x9F\x8C\xB3"}) {
    EXPECT_TRUE(IsPrintableUtf8(name)) << name;
  }
}

TEST(PrintableUtf8, BrokenSequencesAndControlCharactersAreNot) {
  for (absl::string_view text :
       {"a\nb", "\x7f", "\xff", "\x80", "\xC3", "\xC0\xAF" /* overlong */, "\xE0\x80\xAF",
        "\xED\xA0\x80" /* surrogate */, "\xF4\x90\x80\x80" /* above U+10FFFF */, "\xE2\x28\xA1"}) {
    EXPECT_FALSE(IsPrintableUtf8(text));
  }
}

TEST(Utf8SequenceLength, IsThatOfTheFirstCodePoint) {
  EXPECT_EQ(Utf8SequenceLength("\n"), 1);
  EXPECT_EQ(Utf8SequenceLength("ßx"), 2);
  EXPECT_EQ(Utf8SequenceLength("重x"), 3);
  EXPECT_EQ(Utf8SequenceLength("\xF0\x9F\x8C\xB3x"), 4);
  EXPECT_EQ(Utf8SequenceLength(""), 0);
  EXPECT_EQ(Utf8SequenceLength("\xC3"), 0);
  EXPECT_EQ(Utf8SequenceLength("\xC0\xAF"), 0);
}

}  // namespace
}  // namespace topiary
