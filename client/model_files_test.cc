#include "client/model_files.h"

#include <unistd.h>

#include <filesystem>

#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

void PutOutside(const std::string& location, onnx::TensorProto* tensor) {
  tensor->set_name("weight of " + location);
  tensor->set_data_location(onnx::TensorProto::EXTERNAL);
  onnx::StringStringEntryProto* entry = tensor->add_external_data();
  entry->set_key("location");
  entry->set_value(location);
}

// A folder of its own for each test, with model.onnx in it.
class ModelFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/" +
              testing::UnitTest::GetInstance()->current_test_info()->name() + "/model";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    model_.mutable_graph()->set_name("g");
  }

  absl::StatusOr<std::vector<LocalModelFile>> Collect() {
    EXPECT_OK(WriteFileAtomically(folder_ + "/model.onnx", model_.SerializeAsString()));
    return CollectModelFiles(folder_ + "/model.onnx");
  }

  void Write(const std::string& name) {
    EXPECT_OK(WriteFileAtomically(folder_ + "/" + name, "data"));
  }

  onnx::ModelProto model_;
  std::string folder_;
};

TEST_F(ModelFiles, AModelOfOneFileIsThatFile) {
  ASSERT_OK_AND_ASSIGN(const auto files, Collect());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_TRUE(files[0].main);
  EXPECT_EQ(files[0].model_path, "model.onnx");
}

TEST_F(ModelFiles, ABlockCompressedFileIsAllThereIs) {
  Write("model.safetensors");
  ASSERT_OK_AND_ASSIGN(const auto files, CollectModelFiles(folder_ + "/model.safetensors"));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_TRUE(files[0].main);
  EXPECT_EQ(files[0].model_path, "model.safetensors");
  EXPECT_THAT(CollectModelFiles(folder_ + "/none.safetensors"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelFiles, FindsDataOfInitializersOnceEach) {
  Write("model.onnx.data");
  PutOutside("model.onnx.data", model_.mutable_graph()->add_initializer());
  PutOutside("model.onnx.data", model_.mutable_graph()->add_initializer());
  ASSERT_OK_AND_ASSIGN(const auto files, Collect());
  ASSERT_EQ(files.size(), 2u);
  EXPECT_FALSE(files[1].main);
  EXPECT_EQ(files[1].model_path, "model.onnx.data");
  EXPECT_EQ(files[1].local_path, folder_ + "/model.onnx.data");
}

TEST_F(ModelFiles, FindsDataOfAttributesSubgraphsAndSparseTensors) {
  for (const char* name : {"a", "b", "c"}) Write(name);
  onnx::NodeProto* node = model_.mutable_graph()->add_node();
  PutOutside("a", node->add_attribute()->mutable_t());
  PutOutside("b", node->add_attribute()->mutable_g()->add_initializer());
  PutOutside("c", model_.mutable_graph()->add_sparse_initializer()->mutable_values());
  ASSERT_OK_AND_ASSIGN(const auto files, Collect());
  EXPECT_EQ(files.size(), 4u);
}

TEST_F(ModelFiles, KeepsFoldersInsideTheModelsFolder) {
  std::filesystem::create_directories(folder_ + "/parts");
  Write("parts/0.bin");
  PutOutside("parts/0.bin", model_.mutable_graph()->add_initializer());
  ASSERT_OK_AND_ASSIGN(const auto files, Collect());
  EXPECT_EQ(files[1].model_path, "parts/0.bin");
}

class LeavingPaths : public ModelFiles, public testing::WithParamInterface<const char*> {};

TEST_P(LeavingPaths, AreRefused) {
  PutOutside(GetParam(), model_.mutable_graph()->add_initializer());
  EXPECT_THAT(Collect(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("weight of")));
}

INSTANTIATE_TEST_SUITE_P(ModelFiles, LeavingPaths,
                         testing::Values("/etc/passwd", "../secret", "a/../../secret", "", "a//b",
                                         "./a", "a\\b", "a\nb", "model.onnx"));

TEST_F(ModelFiles, ALinkThatLeadsOutIsRefused) {
  ASSERT_OK(WriteFileAtomically(folder_ + "/../secret", "secret"));
  ASSERT_EQ(symlink("../secret", (folder_ + "/weights").c_str()), 0);
  PutOutside("weights", model_.mutable_graph()->add_initializer());
  EXPECT_THAT(Collect(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leads out")));
}

TEST_F(ModelFiles, AFolderIsNoDataFile) {
  std::filesystem::create_directories(folder_ + "/weights");
  PutOutside("weights", model_.mutable_graph()->add_initializer());
  EXPECT_THAT(Collect(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ordinary file")));
}

TEST_F(ModelFiles, MissingDataNamesTensorAndFile) {
  PutOutside("gone.bin", model_.mutable_graph()->add_initializer());
  EXPECT_THAT(Collect(), StatusIs(absl::StatusCode::kNotFound,
                                  testing::AllOf(HasSubstr("weight of"), HasSubstr("gone.bin"))));
}

TEST_F(ModelFiles, TooManyDataFilesAreRefused) {
  for (int i = 0; i < 64; ++i) {
    PutOutside("w" + std::to_string(i), model_.mutable_graph()->add_initializer());
  }
  EXPECT_THAT(Collect(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("64 external")));
}

TEST_F(ModelFiles, WhatIsNoModelIsRefused) {
  for (const std::string& contents :
       {std::string(), std::string("not onnx at all"), model_.SerializeAsString().substr(0, 3)}) {
    ASSERT_OK(WriteFileAtomically(folder_ + "/model.onnx", contents));
    EXPECT_THAT(CollectModelFiles(folder_ + "/model.onnx"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not an ONNX model")));
  }
}

TEST_F(ModelFiles, GraphsNestedWithoutEndAreRefused) {
  onnx::GraphProto* graph = model_.mutable_graph();
  for (int i = 0; i < 33; ++i) {
    graph = graph->add_node()->add_attribute()->mutable_g();
    graph->set_name("g");
  }
  EXPECT_FALSE(Collect().ok());
}

}  // namespace
}  // namespace topiary
