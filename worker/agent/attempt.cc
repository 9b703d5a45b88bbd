#include "worker/agent/attempt.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <limits>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "worker/agent/spec_proto.h"

namespace topiary {
namespace {

constexpr int kCheckpointUploadFailures = 3;

// "projects/p" of "projects/p/jobs/j".
std::string ProjectOf(const std::string& job) {
  const std::vector<std::string> parts = absl::StrSplit(job, '/');
  return parts.size() == 4 ? absl::StrCat(parts[0], "/", parts[1]) : job;
}

std::string FolderName(const v1::Lease& lease) {
  const std::vector<std::string> parts = absl::StrSplit(lease.job(), '/');
  return absl::StrCat(parts.size() == 4 ? parts[1] + "-" + parts[3] : "job", "-", lease.attempt());
}

// Hard links need no space; a cache on another file system is copied from.
absl::Status LinkOrCopy(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::create_hard_link(from, to, error);
  if (error) std::filesystem::copy_file(from, to, error);
  if (error) {
    return absl::InternalError(absl::StrCat("cannot lay out ", to, ": ", error.message()));
  }
  return absl::OkStatus();
}

v1::ResultFile::Kind KindOf(JobFile::Kind kind) {
  switch (kind) {
    case JobFile::Kind::kOnnx:
      return v1::ResultFile::ONNX;
    case JobFile::Kind::kBlockSparse:
      return v1::ResultFile::BLOCK_SPARSE;
    case JobFile::Kind::kReport:
      return v1::ResultFile::REPORT;
    case JobFile::Kind::kPredictions:
      return v1::ResultFile::PREDICTIONS;
    case JobFile::Kind::kCheckpoint:
      return v1::ResultFile::CHECKPOINT;
    case JobFile::Kind::kShrunkOnnx:
      return v1::ResultFile::SHRUNK_ONNX;
  }
  return v1::ResultFile::KIND_UNSPECIFIED;
}

// Messages quote names out of files, which may be of any bytes; a proto string is UTF-8.
std::string MessageText(absl::string_view message) {
  constexpr size_t kMaximumBytes = 8000;
  std::string text;
  while (!message.empty()) {
    const size_t length = Utf8SequenceLength(message);
    const std::string next = length > 0 ? std::string(message.substr(0, length))
                                        : absl::CHexEscape(message.substr(0, 1));
    if (text.size() + next.size() > kMaximumBytes) break;
    text += next;
    message.remove_prefix(std::max<size_t>(length, 1));
  }
  return text;
}

// Code and message, without the payloads, which are for programs.
std::string Words(const absl::Status& status) {
  return status.ToString(absl::StatusToStringMode::kWithNoExtraData);
}

// The same attempt elsewhere, or later, would meet it again.
bool IsFinal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
      return true;
    default:
      return false;
  }
}

void SetMetrics(const std::map<std::string, double>& from,
                google::protobuf::Map<std::string, double>* to) {
  for (const auto& [name, value] : from) (*to)[name] = value;
}

void SetFinite(const std::optional<double>& from, const std::function<void(double)>& set) {
  if (from.has_value() && std::isfinite(*from)) set(*from);
}

v1::Progress ToProto(const JobProgress& progress) {
  v1::Progress out;
  out.set_phase(progress.phase);
  out.set_step(progress.step);
  out.set_total_steps(progress.total_steps);
  out.set_epoch(progress.epoch);
  SetFinite(progress.loss, [&](double value) { out.set_loss(value); });
  SetFinite(progress.sparsity, [&](double value) { out.set_sparsity(value); });
  SetFinite(progress.samples_per_second, [&](double value) { out.set_samples_per_second(value); });
  SetFinite(progress.remaining_seconds, [&](double value) {
    out.mutable_remaining()->set_seconds(static_cast<int64_t>(value));
  });
  for (const auto& [name, value] : progress.metrics) {
    if (std::isfinite(value)) (*out.mutable_metrics())[name] = value;
  }
  return out;
}

}  // namespace

class Attempt::Observer : public JobObserver {
 public:
  explicit Observer(Attempt* attempt) : attempt_(attempt) {}

  void OnProgress(const JobProgress& progress) override {
    attempt_->environment_.metrics->OnTraining(progress.attempt_steps - counted_steps_,
                                               progress.attempt_samples - counted_samples_,
                                               progress);
    counted_steps_ = progress.attempt_steps;
    counted_samples_ = progress.attempt_samples;
    v1::Progress converted = ToProto(progress);
    MutexLock lock(&attempt_->mutex_);
    *attempt_->report_.mutable_progress() = std::move(converted);
  }

  void OnDeterminismKey(const DeterminismKey& key) override {
    MutexLock lock(&attempt_->mutex_);
    v1::DeterminismKey* out = attempt_->report_.mutable_determinism_key();
    out->set_onednn_version(key.onednn_version);
    out->set_isa(key.isa);
    out->set_threads(key.threads);
    out->set_plan_digest(key.plan_digest);
  }

  absl::Status OnCheckpoint(const std::string& path, int64_t step) override {
    const AttemptEnvironment& environment = attempt_->environment_;
    absl::StatusOr<v1::Artifact> artifact = environment.coordinator->Upload(
        attempt_->project_, path, v1::ARTIFACT_KIND_CHECKPOINT, "checkpoint",
        kCheckpointUploadFailures, &attempt_->cancellation_);
    environment.metrics->OnCheckpoint(artifact.ok());
    if (!artifact.ok()) {
      LogWarning("checkpoint not uploaded", {{"error", Words(artifact.status())}});
      return artifact.status();
    }
    MutexLock lock(&attempt_->mutex_);
    v1::Checkpoint* checkpoint = attempt_->report_.mutable_checkpoint();
    checkpoint->set_digest(artifact->digest());
    checkpoint->set_step(step);
    return absl::OkStatus();
  }

  JobControl Control() override {
    MutexLock lock(&attempt_->mutex_);
    return attempt_->control_;
  }

 private:
  Attempt* const attempt_;
  int64_t counted_steps_ = 0;
  int64_t counted_samples_ = 0;
};

Attempt::Attempt(v1::Lease lease, AttemptEnvironment environment)
    : lease_(std::move(lease)),
      environment_(std::move(environment)),
      project_(ProjectOf(lease_.job())),
      folder_(absl::StrCat(environment_.work_folder, "/", FolderName(lease_))) {
  report_.set_job(lease_.job());
  report_.set_attempt(lease_.attempt());
  report_.set_token(lease_.token());
  report_.set_phase(v1::AttemptReport::PREPARING);
  thread_ = std::thread([this] { Run(); });
}

Attempt::~Attempt() {
  Stop();
  thread_.join();
}

v1::AttemptReport Attempt::Report() const {
  MutexLock lock(&mutex_);
  return report_;
}

bool Attempt::finished() const {
  MutexLock lock(&mutex_);
  return report_.phase() == v1::AttemptReport::FINISHED;
}

void Attempt::Stop() {
  {
    MutexLock lock(&mutex_);
    control_ = JobControl::kStop;
  }
  cancellation_.Cancel();
}

void Attempt::HandBack() {
  MutexLock lock(&mutex_);
  if (control_ == JobControl::kContinue) control_ = JobControl::kHandBack;
  // There is nothing to save yet, and a download may take long.
  if (report_.phase() == v1::AttemptReport::PREPARING) cancellation_.Cancel();
}

void Attempt::Run() {
  const ScopedLogFields scope(
      {{"job", lease_.job()}, {"attempt", lease_.attempt()}, {"worker", environment_.worker_id}});
  LogInfo("attempt started", {{"checkpoint", lease_.checkpoint_digest()}});
  absl::StatusOr<Finished> result = absl::InternalError("the attempt did not run");
  // The libraries below may throw for lack of memory, and one job must not end its neighbours.
  try {
    result = Work();
  } catch (const std::bad_alloc&) {
    result = absl::ResourceExhaustedError(
        "the worker ran out of memory; use a smaller batch, or a worker with more memory "
        "(spec.placement.memory_bytes)");
  } catch (const std::exception& error) {
    result = absl::InternalError(absl::StrCat("a library failed: ", error.what()));
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  Finish(OutcomeOf(result));
}

absl::StatusOr<Attempt::Finished> Attempt::Work() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
  std::vector<ArtifactCache::Pin> pins;
  ASSIGN_OR_RETURN(const JobAttempt attempt, Prepare(&pins));
  SetPhase(v1::AttemptReport::RUNNING);
  Observer observer(this);
  ASSIGN_OR_RETURN(const JobOutcome outcome, environment_.runner->Run(attempt, &observer));
  SetPhase(v1::AttemptReport::UPLOADING);
  Finished finished;
  ASSIGN_OR_RETURN(finished.result, UploadResults(outcome));
  finished.bound_missed = outcome.bound_missed;
  return finished;
}

absl::StatusOr<ArtifactCache::Pin> Attempt::Fetch(const std::string& digest) {
  return environment_.cache->Get(
      digest,
      [this](const std::string& wanted, const std::string& path) {
        return environment_.coordinator->Download(project_, wanted, path, &cancellation_);
      },
      &cancellation_);
}

absl::StatusOr<JobAttempt> Attempt::Prepare(std::vector<ArtifactCache::Pin>* pins) {
  JobAttempt attempt;
  attempt.work_folder = folder_ + "/work";
  RETURN_IF_ERROR(CreateFolders(attempt.work_folder));
  ASSIGN_OR_RETURN(const std::string model_path, LayOutModel(pins));
  std::map<std::string, std::string> paths;
  for (const std::string& digest : DataDigests(lease_.spec())) {
    ASSIGN_OR_RETURN(ArtifactCache::Pin pin, Fetch(digest));
    paths[digest] = pin.path();
    pins->push_back(std::move(pin));
  }
  const v1::DeterminismKey& key = lease_.determinism_key();
  const int threads = key.threads() > 0 ? key.threads() : environment_.threads;
  ASSIGN_OR_RETURN(attempt.spec, ConvertSpec(lease_.spec(), model_path, paths, threads));
  attempt.spec.memory_limit_bytes = environment_.memory_bytes;
  if (lease_.has_determinism_key()) {
    attempt.required_key =
        DeterminismKey{key.onednn_version(), key.isa(), key.threads(), key.plan_digest()};
  }
  if (!lease_.checkpoint_digest().empty()) {
    absl::StatusOr<ArtifactCache::Pin> pin = Fetch(lease_.checkpoint_digest());
    if (absl::IsNotFound(pin.status())) {
      // Beginning anew costs time, and gives the same bits.
      LogWarning("checkpoint is gone");
      return attempt;
    }
    if (!pin.ok()) return pin.status();
    attempt.checkpoint_path = pin->path();
    pins->push_back(*std::move(pin));
    MutexLock lock(&mutex_);
    report_.mutable_checkpoint()->set_digest(lease_.checkpoint_digest());
  }
  return attempt;
}

absl::StatusOr<std::string> Attempt::LayOutModel(std::vector<ArtifactCache::Pin>* pins) {
  ASSIGN_OR_RETURN(const ModelFiles model, ConvertModelFiles(lease_.spec().model()));
  const std::string folder = folder_ + "/model";
  for (const ModelFiles::File& file : model.files) {
    ASSIGN_OR_RETURN(ArtifactCache::Pin pin, Fetch(file.digest));
    const std::string path = absl::StrCat(folder, "/", file.path);
    RETURN_IF_ERROR(CreateFolders(std::filesystem::path(path).parent_path().string()));
    RETURN_IF_ERROR(LinkOrCopy(pin.path(), path));
    pins->push_back(std::move(pin));
  }
  return absl::StrCat(folder, "/", model.main);
}

absl::StatusOr<v1::JobResult> Attempt::UploadResults(const JobOutcome& outcome) {
  v1::JobResult result;
  for (const JobFile& file : outcome.files) {
    const v1::ArtifactKind kind = file.kind == JobFile::Kind::kCheckpoint
                                      ? v1::ARTIFACT_KIND_CHECKPOINT
                                      : v1::ARTIFACT_KIND_RESULT;
    // The work is done: only Stop() ends the tries.
    const absl::StatusOr<v1::Artifact> artifact = environment_.coordinator->Upload(
        project_, file.path, kind, file.filename, std::numeric_limits<int>::max(), &cancellation_);
    if (!artifact.ok()) {
      // Whatever it is, it is no fault of the spec: another attempt may fare better.
      return absl::InternalError(
          absl::StrCat(file.filename, " cannot be uploaded: ", Words(artifact.status())));
    }
    v1::ResultFile* uploaded = result.add_files();
    uploaded->set_kind(KindOf(file.kind));
    uploaded->set_filename(file.filename);
    uploaded->set_digest(artifact->digest());
    uploaded->set_size_bytes(artifact->size_bytes());
  }
  SetMetrics(outcome.given_metrics, result.mutable_given_metrics());
  SetMetrics(outcome.dense_metrics, result.mutable_dense_metrics());
  SetMetrics(outcome.pruned_metrics, result.mutable_pruned_metrics());
  if (outcome.sparsity_requested) result.set_sparsity_requested(*outcome.sparsity_requested);
  if (outcome.sparsity_reached) result.set_sparsity_reached(*outcome.sparsity_reached);
  result.set_bit_exact(outcome.bit_exact);
  return result;
}

// What a client gave this worker it knows by its name and digest; where it lies here is nobody's
// concern.
std::string Attempt::WithoutLocalPaths(absl::string_view message) {
  std::vector<std::string> digests = DataDigests(lease_.spec());
  for (const v1::ModelFile& file : lease_.spec().model().files()) digests.push_back(file.digest());
  digests.push_back(lease_.checkpoint_digest());
  std::map<std::string, std::string> replacements = {{folder_ + "/", ""}};
  for (const std::string& digest : digests) {
    if (digest.empty()) continue;
    const std::string path = environment_.cache->PathOf(digest);
    if (!absl::StrContains(message, path)) continue;
    const absl::StatusOr<std::string> name =
        environment_.coordinator->DisplayName(project_, digest, &cancellation_);
    replacements[path] = name.ok() && !name->empty()
                             ? absl::StrCat(*name, " (artifact ", digest, ")")
                             : absl::StrCat("artifact ", digest);
  }
  return absl::StrReplaceAll(message, replacements);
}

v1::Outcome Attempt::OutcomeOf(const absl::StatusOr<Finished>& result) {
  v1::Outcome outcome;
  if (result.ok() && !result->bound_missed.empty()) {
    v1::Failure* failed = outcome.mutable_failed();
    failed->mutable_error()->set_code(static_cast<int>(absl::StatusCode::kFailedPrecondition));
    failed->mutable_error()->set_message(MessageText(result->bound_missed));
    failed->set_reason(v1::JOB_REASON_ACCURACY_BOUND);
    *failed->mutable_result() = result->result;
    return outcome;
  }
  // Asks the coordinator: not under the lock, which reports wait for.
  const std::string message =
      result.ok() ? "" : MessageText(WithoutLocalPaths(result.status().message()));
  MutexLock lock(&mutex_);
  if (result.ok()) {
    *outcome.mutable_succeeded() = result->result;
  } else if (control_ == JobControl::kStop) {
    outcome.mutable_stopped();
  } else if (control_ == JobControl::kHandBack && !IsFinal(result.status())) {
    outcome.mutable_handed_back();
  } else {
    const bool missing = absl::IsNotFound(result.status());
    google::rpc::Status* error = outcome.mutable_failed()->mutable_error();
    error->set_code(
        static_cast<int>(missing ? absl::StatusCode::kFailedPrecondition : result.status().code()));
    error->set_message(message);
    outcome.mutable_failed()->set_retryable(!IsFinal(result.status()));
  }
  return outcome;
}

void Attempt::SetPhase(v1::AttemptReport::Phase phase) {
  MutexLock lock(&mutex_);
  report_.set_phase(phase);
}

void Attempt::Finish(v1::Outcome outcome) {
  const v1::Outcome::OutcomeCase kind = outcome.outcome_case();
  environment_.metrics->OnOutcome(outcome);
  LogInfo("attempt ended",
          {{"outcome", OutcomeName(outcome)},
           {"error", kind == v1::Outcome::kFailed ? outcome.failed().error().message() : ""}});
  {
    MutexLock lock(&mutex_);
    *report_.mutable_outcome() = std::move(outcome);
    report_.set_phase(v1::AttemptReport::FINISHED);
  }
  environment_.on_finished();
}

}  // namespace topiary
