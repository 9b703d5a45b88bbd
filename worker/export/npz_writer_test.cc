#include "worker/export/npz_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "common/status_matchers.h"
#include "worker/data/readers.h"

namespace topiary {
namespace {

TEST(NpzWriter, WhatItWritesTheReaderReads) {
  const std::string path = testing::TempDir() + "/predictions.npz";
  const Tensor array = Tensor::FromVector<float>(Shape({2, 3}), {1, -2, 3.5F, 0, 1e-30F, 7});
  ASSERT_OK(WriteNpz("predictions", array, path));
  NpzSource source;
  source.path = path;
  ASSERT_OK_AND_ASSIGN(const Dataset read, ReadNpz(source));
  ASSERT_EQ(read.inputs.size(), 1u);
  EXPECT_TRUE(BitwiseEqual(read.inputs[0].values, array));
}

TEST(NpzWriter, SameArrayGivesTheSameBytes) {
  const std::string path = testing::TempDir() + "/twice.npz";
  const Tensor array = Tensor::FromVector<float>(Shape({3}), {1, 2, 3});
  ASSERT_OK(WriteNpz("predictions", array, path));
  const std::string first = ReadFile(path).value();
  ASSERT_OK(WriteNpz("predictions", array, path));
  EXPECT_EQ(ReadFile(path).value(), first);
}

TEST(NpzWriter, RefusesAnotherType) {
  EXPECT_THAT(WriteNpz("x", Tensor(DType::kInt64, Shape({2})), testing::TempDir() + "/x.npz"),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::HasSubstr("int64")));
}

}  // namespace
}  // namespace topiary
