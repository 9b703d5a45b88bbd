#include "client/cli/submission.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/job_view.h"
#include "client/cli/messages.h"
#include "client/cli/spec_from_flags.h"
#include "client/cli/watch_display.h"
#include "client/local_file.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr uint64_t kMaxSpecBytes = 4 << 20;

absl::StatusOr<v1::CompressionSpec> ReadSpec(const std::string& path) {
  if (path.empty()) return v1::CompressionSpec();
  ASSIGN_OR_RETURN(const std::string text, LocalFileError(ReadFile(path, kMaxSpecBytes)));
  return LocalFileError(ParseSpec(path, text));
}

absl::StatusOr<std::optional<LocalDataSource>> ReadDataFlag(const std::string& value) {
  if (value.empty()) return std::optional<LocalDataSource>();
  ASSIGN_OR_RETURN(LocalDataSource source, LocalFileError(ParseDataSource(value)));
  return std::optional<LocalDataSource>(std::move(source));
}

absl::StatusOr<std::string> UploadOne(Session* session, const std::string& path,
                                      v1::ArtifactKind kind) {
  ASSIGN_OR_RETURN(ArtifactTransfer transfer, session->artifacts());
  UploadSource source;
  source.path = path;
  source.kind = kind;
  const std::string title = absl::StrCat("upload ", path.substr(path.rfind('/') + 1));
  ASSIGN_OR_RETURN(const v1::Artifact artifact,
                   transfer.Upload(session->project(), source, session->Transfers(title)));
  return artifact.digest();
}

absl::Status UploadData(const JobFlags& flags, Session* session, const LocalDataSource& source,
                        v1::DataSource* data) {
  std::vector<std::string> digests;
  for (const std::string& path : source.paths) {
    ASSIGN_OR_RETURN(std::string digest, UploadOne(session, path, v1::ARTIFACT_KIND_DATA));
    digests.push_back(std::move(digest));
  }
  ASSIGN_OR_RETURN(*data, MakeDataSource(flags, source, digests, *data));
  return absl::OkStatus();
}

// The flags of data formats are checked before anything is sent, with digests that are not used.
absl::Status CheckDataFlags(const JobFlags& flags, const LocalDataSource& source,
                            const v1::DataSource& base) {
  return MakeDataSource(flags, source, {"", ""}, base).status();
}

// The files of one job.
absl::Status DownloadFiles(Session* session, const v1::Job& job, const std::string& folder) {
  ASSIGN_OR_RETURN(ArtifactTransfer transfer, session->artifacts());
  for (const v1::ResultFile& file : job.result().files()) {
    if (!IsPlainFilename(file.filename())) {
      return absl::InternalError("the server gave a result file a name that leaves its folder");
    }
    const std::string path = absl::StrCat(folder, "/", file.filename());
    RETURN_IF_ERROR(transfer.Download(session->project(), file.digest(), path,
                                      session->Transfers(absl::StrCat("get ", file.filename()))));
    if (!session->terminal().json()) session->terminal().Note(absl::StrCat("wrote ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JobInputs> ReadInputs(const JobFlags& flags) {
  JobInputs inputs;
  ASSIGN_OR_RETURN(inputs.spec, ReadSpec(flags.spec_file));
  RETURN_IF_ERROR(ApplyFlags(flags, &inputs.spec));
  if (absl::EndsWith(flags.model, ".safetensors") && !inputs.spec.has_benchmark()) {
    return UsageError(
        "only a benchmark takes a .safetensors file: `topiary convert` makes the .onnx of it");
  }
  if (!flags.model.empty()) {
    ASSIGN_OR_RETURN(inputs.model, LocalFileError(CollectModelFiles(flags.model)));
  } else if (inputs.spec.model().files().empty()) {
    return UsageError("there is no model: give --model FILE.onnx (`topiary model new` makes one)");
  }
  ASSIGN_OR_RETURN(inputs.train, ReadDataFlag(flags.train));
  ASSIGN_OR_RETURN(inputs.evaluation, ReadDataFlag(flags.evaluation));
  if (inputs.spec.has_benchmark()) {
    if (inputs.train.has_value() || inputs.evaluation.has_value()) {
      return UsageError("a benchmark runs on random inputs: leave --train and --eval out");
    }
    return inputs;
  }
  if (!inputs.train.has_value() && !inputs.spec.data().has_train()) {
    return UsageError("there is no data: give --train FILE.npz, FILE.csv or IMAGES,LABELS");
  }
  if (inputs.train.has_value()) {
    RETURN_IF_ERROR(CheckDataFlags(flags, *inputs.train, inputs.spec.data().train()));
  }
  if (inputs.evaluation.has_value()) {
    RETURN_IF_ERROR(CheckDataFlags(flags, *inputs.evaluation, inputs.spec.data().evaluation()));
  }
  return inputs;
}

absl::Status UploadInputs(const JobFlags& flags, Session* session, JobInputs* inputs) {
  v1::CompressionSpec& spec = inputs->spec;
  if (!inputs->model.empty()) spec.mutable_model()->clear_files();
  for (const LocalModelFile& local : inputs->model) {
    ASSIGN_OR_RETURN(const std::string digest,
                     UploadOne(session, local.local_path, v1::ARTIFACT_KIND_MODEL));
    v1::ModelFile* file = spec.mutable_model()->add_files();
    file->set_path(local.model_path);
    file->set_digest(digest);
    file->set_main(local.main);
  }
  if (inputs->train.has_value()) {
    RETURN_IF_ERROR(
        UploadData(flags, session, *inputs->train, spec.mutable_data()->mutable_train()));
  }
  if (inputs->evaluation.has_value()) {
    RETURN_IF_ERROR(
        UploadData(flags, session, *inputs->evaluation, spec.mutable_data()->mutable_evaluation()));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Job> WatchToEnd(Session* session, const std::string& name,
                                   int64_t after_sequence, bool json_events) {
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  WatchDisplay display(&session->terminal(), absl::LocalTimeZone());
  WatchOptions options;
  options.after_sequence = after_sequence;
  options.cancellation = session->cancellation();
  const bool show = json_events || !session->terminal().json();
  absl::StatusOr<v1::Job> job = jobs.Watch(name, options, [&](const v1::JobEvent& event) {
    if (show) display.Show(event);
    return absl::OkStatus();
  });
  display.End();
  if (absl::IsCancelled(job.status())) {
    return absl::CancelledError(
        absl::StrCat("stopped watching; the job goes on: `topiary watch ", ShortName(name), "`"));
  }
  return job;
}

bool IsPlainFilename(absl::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (const unsigned char c : name) {
    if (c == '/' || c == '\\' || c < 0x20 || c == 0x7F) return false;
  }
  return true;
}

absl::Status PrepareDownload(const std::string& folder) {
  return folder.empty() ? absl::OkStatus() : LocalFileError(CreateFolders(folder));
}

absl::Status DownloadResult(Session* session, const v1::Job& job, const std::string& folder) {
  RETURN_IF_ERROR(DownloadFiles(session, job, folder));
  if (!job.has_children()) return absl::OkStatus();
  ASSIGN_OR_RETURN(JobClient jobs, session->jobs());
  JobFilter filter;
  filter.parent_job = job.name();
  ASSIGN_OR_RETURN(const std::vector<v1::Job> children, jobs.List(filter));
  for (const v1::Job& child : children) {
    if (child.result().files().empty()) continue;
    const std::string name = child.name().substr(child.name().rfind('/') + 1);
    if (!IsPlainFilename(name)) {
      return absl::InternalError("the server gave a child a name that leaves the folder");
    }
    const std::string inner = absl::StrCat(folder, "/", name);
    RETURN_IF_ERROR(PrepareDownload(inner));
    RETURN_IF_ERROR(DownloadFiles(session, child, inner));
  }
  return absl::OkStatus();
}

void ShowJob(const Session& session, const v1::Job& job, const std::string& details) {
  if (session.terminal().json()) {
    session.PrintJson(job);
  } else {
    session.terminal().Print(absl::StrCat(JobText(job, absl::LocalTimeZone()), details));
  }
}

ExitCode ShowEndedJob(const Session& session, const v1::Job& job, const std::string& details) {
  ShowJob(session, job, details);
  return job.state() == v1::JOB_STATE_SUCCEEDED ? ExitCode::kOk : ExitCode::kJobFailed;
}

}  // namespace topiary
