#include "client/cli/submission.h"

#include <filesystem>

#include "client/model_zoo/model_zoo.h"
#include "client/testing/fake_artifact_service.h"
#include "client/testing/fake_compression_service.h"
#include "client/testing/in_process_server.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace topiary {
namespace {

using ::testing::HasSubstr;

class Submission : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    ASSERT_OK(CreateFolders(folder_));
    flags_.model = Write("model.onnx", NewModel("sa_mlp", {}).value());
    flags_.train = Write("train.npz", "PK\x03\x04 training");
    global_.server = server_.target();
  }

  std::string Write(const std::string& name, const std::string& contents) {
    EXPECT_OK(WriteFileAtomically(folder_ + "/" + name, contents));
    return folder_ + "/" + name;
  }

  std::string folder_;
  JobFlags flags_;
  FakeArtifactService artifacts_;
  FakeCompressionService jobs_;
  InProcessServer server_{{&artifacts_, &jobs_}};
  GlobalFlags global_;
  std::FILE* sink_ = std::tmpfile();
  Terminal terminal_{sink_, sink_, false};
  Cancellation cancellation_;
};

TEST_F(Submission, UploadsTheFilesAndNamesThemInTheSpec) {
  flags_.evaluation = Write("eval.npz", "PK\x03\x04 held out");
  flags_.sparsity = 0.9;
  ASSERT_OK_AND_ASSIGN(JobInputs inputs, ReadInputs(flags_));
  Session session(global_, &terminal_, &cancellation_);
  ASSERT_OK(UploadInputs(flags_, &session, &inputs));
  EXPECT_EQ(inputs.spec.target().sparsity(), 0.9);
  ASSERT_EQ(inputs.spec.model().files_size(), 1);
  EXPECT_EQ(inputs.spec.model().files(0).path(), "model.onnx");
  EXPECT_TRUE(inputs.spec.model().files(0).main());
  EXPECT_NE(artifacts_.Get(inputs.spec.model().files(0).digest()), "");
  EXPECT_EQ(artifacts_.Get(inputs.spec.data().train().npz().digest()), "PK\x03\x04 training");
  EXPECT_EQ(artifacts_.Get(inputs.spec.data().evaluation().npz().digest()), "PK\x03\x04 held out");
}

TEST_F(Submission, ASpecFileIsTheBaseOfTheFlags) {
  flags_.spec_file = Write("spec.json", R"({"task": {"epochs": 3, "batch_size": 64}})");
  flags_.epochs = 5;
  ASSERT_OK_AND_ASSIGN(const JobInputs inputs, ReadInputs(flags_));
  EXPECT_EQ(inputs.spec.task().epochs(), 5);
  EXPECT_EQ(inputs.spec.task().batch_size(), 64);
}

TEST_F(Submission, ASpecThatNamesUploadedFilesNeedsNone) {
  flags_ = JobFlags();
  flags_.spec_file = Write("spec.txt", R"(
    model { files { path: "m.onnx" digest: "x" } } data { train { npz { digest: "y" } } })");
  EXPECT_OK(ReadInputs(flags_).status());
}

struct MissingCase {
  const char* name;
  void (*change)(JobFlags*);
  absl::StatusCode code;
  const char* message;
};

class MissingInputs : public Submission, public testing::WithParamInterface<MissingCase> {};

TEST_P(MissingInputs, AreFoundBeforeAnythingIsSent) {
  GetParam().change(&flags_);
  EXPECT_THAT(ReadInputs(flags_), StatusIs(GetParam().code, HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Submission, MissingInputs,
    testing::Values(MissingCase{"NoModel", [](JobFlags* f) { f->model = ""; },
                                absl::StatusCode::kInvalidArgument, "--model"},
                    MissingCase{"NoData", [](JobFlags* f) { f->train = ""; },
                                absl::StatusCode::kInvalidArgument, "--train"},
                    MissingCase{"ModelFile", [](JobFlags* f) { f->model = "/no/m.onnx"; },
                                absl::StatusCode::kNotFound, "/no/m.onnx"},
                    MissingCase{"DataFile", [](JobFlags* f) { f->train = "/no/d.npz"; },
                                absl::StatusCode::kNotFound, "/no/d.npz"},
                    MissingCase{"SpecFile", [](JobFlags* f) { f->spec_file = "/no/s.json"; },
                                absl::StatusCode::kNotFound, "/no/s.json"},
                    MissingCase{"CsvFlagForNpz", [](JobFlags* f) { f->label_column = "y"; },
                                absl::StatusCode::kInvalidArgument, "--label-column"},
                    MissingCase{"DataAsModel", [](JobFlags* f) { f->model = f->train; },
                                absl::StatusCode::kInvalidArgument, "not an ONNX model"}),
    [](const auto& info) { return info.param.name; });

TEST_F(Submission, DownloadsTheResultFiles) {
  artifacts_.Put("the model");
  v1::Job job;
  v1::ResultFile* file = job.mutable_result()->add_files();
  file->set_filename("model.onnx");
  file->set_digest(Sha256Hex("the model"));
  Session session(global_, &terminal_, &cancellation_);
  ASSERT_OK(PrepareDownload(folder_ + "/new/folder"));
  ASSERT_OK(DownloadResult(&session, job, folder_ + "/new/folder"));
  EXPECT_THAT(ReadFile(folder_ + "/new/folder/model.onnx"), IsOkAndHolds("the model"));
}

TEST_F(Submission, AResultFileCannotLeaveTheFolder) {
  artifacts_.Put("evil");
  v1::Job job;
  v1::ResultFile* file = job.mutable_result()->add_files();
  file->set_filename("../evil");
  file->set_digest(Sha256Hex("evil"));
  Session session(global_, &terminal_, &cancellation_);
  EXPECT_THAT(DownloadResult(&session, job, folder_ + "/out"),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/evil"));
}

TEST(IsPlainFilename, RefusesWhatNamesAnotherPlace) {
  for (const char* name : {"", ".", "..", "a/b", "/a", "a\\b", "a\nb"}) {
    EXPECT_FALSE(IsPlainFilename(name)) << name;
  }
  EXPECT_TRUE(IsPlainFilename("model.onnx"));
  EXPECT_TRUE(IsPlainFilename("..model"));
}

TEST_F(Submission, WaitingEndsWithTheJobAndSaysHow) {
  jobs_.SetEvents({StateEvent(1, v1::JOB_STATE_RUNNING), StateEvent(2, v1::JOB_STATE_FAILED)});
  Session session(global_, &terminal_, &cancellation_);
  ASSERT_OK_AND_ASSIGN(JobClient client, session.jobs());
  ASSERT_OK_AND_ASSIGN(const v1::Job created, client.Submit(v1::CompressionSpec()));
  ASSERT_OK_AND_ASSIGN(const v1::Job job, WatchToEnd(&session, created.name(), 0, false));
  EXPECT_EQ(ShowEndedJob(session, job, ""), ExitCode::kJobFailed);
}

TEST_F(Submission, StoppingToWaitSaysHowToGoOn) {
  Session session(global_, &terminal_, &cancellation_);
  ASSERT_OK_AND_ASSIGN(JobClient client, session.jobs());
  ASSERT_OK_AND_ASSIGN(const v1::Job created, client.Submit(v1::CompressionSpec()));
  cancellation_.Cancel();
  EXPECT_THAT(WatchToEnd(&session, created.name(), 0, false),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("topiary watch j1")));
}

}  // namespace
}  // namespace topiary
