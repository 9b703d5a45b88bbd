#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "common/status_matchers.h"
#include "worker/data/readers.h"
#include "worker/data/testing/file_builder.h"

namespace topiary {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kExhausted = absl::StatusCode::kResourceExhausted;

using Edit = std::function<void(CsvSource&)>;

CsvSource SourceOf(const std::string& text, const Edit& edit = nullptr) {
  CsvSource source;
  source.path = WriteTemp("data.csv", text);
  source.label_column = std::string("label");
  if (edit) edit(source);
  return source;
}

absl::StatusOr<Dataset> Read(const std::string& text, const Edit& edit = nullptr,
                             const ReadLimits& limits = {}) {
  return ReadCsv(SourceOf(text, edit), limits);
}

TEST(CsvReader, AHeaderNamesFeaturesAndLabel) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("a,label,b\n1,0,2.5\n-3,1,4e1\n"));
  EXPECT_EQ(dataset.inputs[0].values.shape(), Shape({2, 2}));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(1, 2.5f, -3, 40));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(0, 1));
  EXPECT_EQ(dataset.labels.name, "label");
  EXPECT_THAT(dataset.labels.Described(), testing::MatchesRegex("column 'label' of .*data[.]csv"));
  EXPECT_THAT(dataset.class_names, IsEmpty());
}

TEST(CsvReader, ByteOrderMarkWindowsLineEndsBlankLinesAndNoLastLineEndAreFine) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("\xEF\xBB\xBF"
                                                   "a,label\r\n1,0\r\n\r\n2,1"));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(1, 2));
}

TEST(CsvReader, GzipIsInflated) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read(GzipOf("a,label\n1,0\n")));
  EXPECT_EQ(dataset.size(), 1);
}

TEST(CsvReader, QuotedFieldsMayHoldDelimitersQuotesAndLineEnds) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("a,label\n\"1\",\"x,\"\"y\"\"\nz\"\n2,plain\n"));
  EXPECT_THAT(dataset.class_names, ElementsAre("plain", "x,\"y\"\nz"));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(1, 0));
}

TEST(CsvReader, WithoutAHeaderColumnsAreCounted) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("7;1;1\n8;3;0\n", [](CsvSource& s) {
                         s.has_header = false;
                         s.delimiter = ';';
                         s.label_column = -1;
                         s.ignored_columns = {0};
                       }));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(1, 3));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(1, 0));
}

TEST(CsvReader, SayingThatAColumnIsAFeatureChangesNothing) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("a,b,c,label\n1,2,3,0\n", [](CsvSource& s) {
                         s.feature_columns = {std::string("c"), 0};
                       }));
  EXPECT_THAT(dataset.inputs[0].values.span<float>(), ElementsAre(1, 2, 3));
}

TEST(CsvReader, StringClassesAreNumberedInSortedOrder) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("a,label\n1,dog\n2,cat\n3, dog\n"));
  EXPECT_THAT(dataset.class_names, ElementsAre("cat", "dog"));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(1, 0, 1));
}

TEST(CsvReader, GivenClassNamesDecide) {
  const auto names = [](CsvSource& s) { s.class_names = {"dog", "cat", "cow"}; };
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("a,label\n1,cat\n", names));
  EXPECT_THAT(dataset.labels.values.span<int64_t>(), ElementsAre(1));
  EXPECT_THAT(Read("a,label\n1,cat\n2,pig\n", names),
              StatusIs(kInvalid, AllOf(HasSubstr("row 1 (counted from 0; line 3), column 'label'"),
                                       HasSubstr("'pig' is none of the 3"))));
}

TEST(CsvReader, TargetsOfARegressionAreFloats) {
  ASSERT_OK_AND_ASSIGN(const Dataset dataset, Read("a,label\n1,0.5\n2,-1\n", [](CsvSource& s) {
                         s.labels_are_classes = false;
                       }));
  EXPECT_THAT(dataset.labels.values.span<float>(), ElementsAre(0.5f, -1));
}

struct Malformed {
  const char* name;
  std::string text;
  const char* message;
  Edit edit = nullptr;
  absl::StatusCode code = kInvalid;
};

class MalformedFiles : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedFiles, AreRefusedNamingFileRowAndColumn) {
  EXPECT_THAT(
      Read(GetParam().text, GetParam().edit),
      StatusIs(GetParam().code, AllOf(HasSubstr("data.csv: "), HasSubstr(GetParam().message))));
}

INSTANTIATE_TEST_SUITE_P(
    CsvReader, MalformedFiles,
    testing::Values(
        Malformed{"Empty", "", "no rows"}, Malformed{"BlankLines", "\n\n\r\n", "no rows"},
        Malformed{"HeaderOnly", "a,label\n", "a header but no rows"},
        Malformed{"FieldMissing", "a,b,label\n1,2,0\n1,0\n",
                  "row 1 (counted from 0; line 3) has 2 fields; 3 are needed"},
        Malformed{"FieldTooMany", "a,label\n1,0,9\n",
                  "row 0 (counted from 0; line 2) has 3 fields"},
        Malformed{"NotANumber", "a,label\n1,0\nred,1\n",
                  "row 1 (counted from 0; line 3), column 'a': 'red' is no number"},
        Malformed{"HalfANumber", "a,label\n1x,0\n", "'1x' is no number"},
        Malformed{"NaN", "a,label\nnan,0\n", "'nan' is not finite"},
        Malformed{"Infinity", "a,label\n-inf,0\n", "'-inf' is not finite"},
        Malformed{"Overflow", "a,label\n1e999,0\n", "'1e999' is not finite"},
        Malformed{
            "MissingFeature", "a,label\n,0\n",
            "column 'a': the value is missing; fill it in, remove the row, or IGNORE the column"},
        Malformed{"MissingLabel", "a,label\n1,\n", "the label is missing"},
        Malformed{"NegativeClass", "a,label\n1,-1\n", "the label '-1' is no class"},
        Malformed{"FractionalClass", "a,label\n1,0\n2,0.5\n",
                  "row 1 (counted from 0; line 3), column 'label'"},
        Malformed{"HugeClass", "a,label\n1,99999999999\n", "no class"},
        Malformed{"TargetIsText", "a,label\n1,high\n", "the target 'high'",
                  [](CsvSource& s) { s.labels_are_classes = false; }},
        Malformed{"NaNTarget", "a,label\n1,nan\n", "no finite number",
                  [](CsvSource& s) { s.labels_are_classes = false; }},
        Malformed{"NoSuchLabel", "a,b\n1,2\n", "no column 'label' among the 2 columns: a, b"},
        Malformed{"IndexTooLarge", "1,2\n", "no column 2 among the 2 columns (counted from 0)",
                  [](CsvSource& s) {
                    s.has_header = false;
                    s.label_column = 2;
                  }},
        Malformed{"NoFeatures", "label\n1\n", "no column is a feature"},
        Malformed{"TwoRoles", "a,label\n1,0\n", "'label' has two roles",
                  [](CsvSource& s) {
                    s.feature_columns = {std::string("a"), std::string("label")};
                  }},
        Malformed{"ANameAndAnIndexOfOneColumn", "a,b,label\n1,2,0\n", "'b' has two roles",
                  [](CsvSource& s) {
                    s.ignored_columns = {1};
                    s.feature_columns = {std::string("b")};
                  }},
        Malformed{"AFeatureWhereTheLabelIsByDefault", "a,b\n1,0\n",
                  "column 'b' is declared FEATURE, but it is the label while no other column is; "
                  "declare the label column",
                  [](CsvSource& s) {
                    s.label_column = -1;
                    s.label_is_default = true;
                    s.feature_columns = {std::string("b")};
                  }},
        Malformed{"IgnoredWhereTheLabelIsByDefault", "a,b,c\n1,0,9\n",
                  "column 'c' is declared IGNORE",
                  [](CsvSource& s) {
                    s.label_column = -1;
                    s.label_is_default = true;
                    s.ignored_columns = {2};
                  }},
        Malformed{"ANameIsNoIndex", "a,label\n1,0\n", "no column '1' among the 2 columns: a, label",
                  [](CsvSource& s) { s.label_column = std::string("1"); }},
        Malformed{"ANameWithoutAHeader", "1,2\n", "indices, not names",
                  [](CsvSource& s) {
                    s.has_header = false;
                    s.label_column = std::string("1");
                  }},
        Malformed{"IndexTooNegative", "1,2\n", "no column -3 among the 2",
                  [](CsvSource& s) { s.label_column = -3; }},
        Malformed{"OpenQuote", "a,label\n\"1,0\n2,1\n", "line 2 opens a quote"},
        Malformed{"TextAfterQuote", "a,label\n\"1\"2,0\n", "text after a closing quote"},
        Malformed{"QuoteAsDelimiter", "a\"label\n", "cannot be the delimiter",
                  [](CsvSource& s) { s.delimiter = '"'; }},
        Malformed{"DamagedGzip", "\x1f\x8b\x08zzzzzzzzzzzzzzzzzz", "compressed data are"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(CsvReader, LimitsHold) {
  ReadLimits limits;
  limits.max_columns = 2;
  EXPECT_THAT(Read("a,b,label\n1,2,0\n", nullptr, limits),
              StatusIs(kExhausted, HasSubstr("2 columns")));
  limits = ReadLimits();
  limits.max_rows = 1;
  EXPECT_THAT(Read("a,label\n1,0\n2,1\n", nullptr, limits), StatusIs(kExhausted));
  limits = ReadLimits();
  limits.max_field_bytes = 4;
  EXPECT_THAT(Read("a,label\n12345,0\n", nullptr, limits),
              StatusIs(kExhausted, HasSubstr("at most 4")));
  EXPECT_THAT(Read("a,label\n\"12345\",0\n", nullptr, limits), StatusIs(kExhausted));
  limits = ReadLimits();
  limits.max_bytes = 10;
  EXPECT_THAT(Read("a,label\n1,0\n2,1\n", nullptr, limits),
              StatusIs(kExhausted, HasSubstr("at most 10")));
}

TEST(CsvReader, AnIndexIsNeverTakenForTheNameOfAColumn) {
  const std::string text = "a,0,label\n5,6,1\n";
  ASSERT_OK_AND_ASSIGN(const Dataset by_index,
                       Read(text, [](CsvSource& s) { s.ignored_columns = {0}; }));
  EXPECT_THAT(by_index.inputs[0].values.span<float>(), ElementsAre(6));
  ASSERT_OK_AND_ASSIGN(const Dataset by_name,
                       Read(text, [](CsvSource& s) { s.ignored_columns = {std::string("0")}; }));
  EXPECT_THAT(by_name.inputs[0].values.span<float>(), ElementsAre(5));
}

}  // namespace
}  // namespace topiary
