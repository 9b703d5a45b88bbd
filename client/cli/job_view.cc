#include "client/cli/job_view.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "client/cli/format.h"
#include "client/cli/messages.h"
#include "client/cli/sweep_tables.h"
#include "client/cli/table.h"

namespace topiary {
namespace {

using Align = Table::Align;

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string FormatTime(const google::protobuf::Timestamp& time, absl::TimeZone zone) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(time), zone);
}

std::string Age(const google::protobuf::Timestamp& time, absl::Time now) {
  return FormatElapsed(std::max(absl::ZeroDuration(), now - ToTime(time)));
}

void AddLine(absl::string_view key, absl::string_view value, std::string* text) {
  if (!value.empty()) absl::StrAppendFormat(text, "%-12s%s\n", key, value);
}

// How long it has run or ran.
std::string RunTime(const v1::Job& job, absl::Time now) {
  if (!job.has_start_time()) return "-";
  const absl::Time end = job.has_end_time() ? ToTime(job.end_time()) : now;
  return FormatElapsed(std::max(absl::ZeroDuration(), end - ToTime(job.start_time())));
}

std::string Metric(const std::string& name, double value) {
  return name == "accuracy" || name == "top5_accuracy" ? FormatPercent(value) : FormatNumber(value);
}

// Models by metrics, of what there is.
std::string MetricsText(const v1::JobResult& result) {
  std::map<std::string, std::vector<std::string>> rows;
  const google::protobuf::Map<std::string, double>* const columns[] = {
      &result.given_metrics(), &result.dense_metrics(), &result.pruned_metrics()};
  for (size_t i = 0; i < std::size(columns); ++i) {
    for (const auto& [name, value] : *columns[i]) {
      std::vector<std::string>& row = rows[name];
      row.resize(std::size(columns), "-");
      row[i] = Metric(name, value);
    }
  }
  if (rows.empty()) return "";
  Table table({{"metric"},
               {"as given", Align::kRight},
               {"dense", Align::kRight},
               {"pruned", Align::kRight}});
  for (const auto& [name, row] : rows) {
    table.AddRow({Printable(name), row[0], row[1], row[2]});
  }
  return absl::StrCat("\n", table.Render());
}

std::string FilesText(const v1::JobResult& result) {
  if (result.files().empty()) return "";
  Table table({{"file"}, {"size", Align::kRight}, {"digest"}});
  for (const v1::ResultFile& file : result.files()) {
    table.AddRow(
        {Printable(file.filename()), FormatBytes(file.size_bytes()), Printable(file.digest())});
  }
  return absl::StrCat("\n", table.Render());
}

std::string AttemptsText(const v1::Job& job, absl::TimeZone zone) {
  if (job.attempts_size() == 0) return "";
  Table table({{"attempt", Align::kRight}, {"state"}, {"worker"}, {"began"}, {"error"}});
  for (const v1::Attempt& attempt : job.attempts()) {
    table.AddRow({absl::StrCat(attempt.number()),
                  absl::AsciiStrToLower(v1::Attempt::State_Name(attempt.state())),
                  Printable(attempt.worker_id()), FormatTime(attempt.start_time(), zone),
                  Printable(attempt.error().message())});
  }
  return absl::StrCat("\n", table.Render());
}

// "12: 3 queued, 9 succeeded"
std::string ChildrenText(const v1::JobChildren& children) {
  const std::pair<int, const char*> counts[] = {{children.queued(), "queued"},
                                                {children.running(), "running"},
                                                {children.succeeded(), "succeeded"},
                                                {children.failed(), "failed"},
                                                {children.cancelled(), "cancelled"}};
  std::vector<std::string> parts;
  for (const auto& [count, state] : counts) {
    if (count > 0) parts.push_back(absl::StrCat(count, " ", state));
  }
  return absl::StrCat(children.total(), ": ", absl::StrJoin(parts, ", "));
}

std::string Labels(const v1::CompressionSpec& spec) {
  const std::map<std::string, std::string> sorted(spec.labels().begin(), spec.labels().end());
  return Printable(absl::StrJoin(sorted, " ", absl::PairFormatter("=")));
}

double SparsityOf(const v1::Job& job) {
  if (job.result().has_sparsity_reached()) return job.result().sparsity_reached();
  return job.progress().has_sparsity() ? job.progress().sparsity() : -1;
}

// "blocks", or the words of the structure.
std::string CandidatesOf(const v1::PruningTarget& target) {
  if (target.structure() == v1::PruningTarget::STRUCTURE_UNSPECIFIED) return "blocks";
  return absl::StrReplaceAll(
      absl::AsciiStrToLower(v1::PruningTarget::Structure_Name(target.structure())), {{"_", " "}});
}

}  // namespace

std::string ShortName(const std::string& name) {
  return Printable(name.substr(name.rfind('/') + 1));
}

std::string JobText(const v1::Job& job, absl::TimeZone zone) {
  std::string text;
  AddLine("job", Printable(job.name()), &text);
  AddLine("state",
          absl::StrCat(StateName(job.state()), " (", ReasonName(job.reason()), ")",
                       job.cancel_requested() && !job.has_end_time() ? ", being cancelled" : ""),
          &text);
  AddLine("method", MethodName(job.spec()), &text);
  AddLine("labels", Labels(job.spec()), &text);
  AddLine("sweep", job.parent_job().empty() ? "" : ShortName(job.parent_job()), &text);
  if (job.has_children()) {
    absl::StrAppend(&text, SweepText(job.spec().sweep()));
    AddLine("children", ChildrenText(job.children()), &text);
  }
  if (job.has_create_time()) AddLine("created", FormatTime(job.create_time(), zone), &text);
  if (job.has_start_time()) AddLine("started", FormatTime(job.start_time(), zone), &text);
  if (job.has_end_time()) AddLine("ended", FormatTime(job.end_time(), zone), &text);
  if (job.has_retry_time() && !job.has_end_time()) {
    AddLine("next try", FormatTime(job.retry_time(), zone), &text);
  }
  if (job.has_progress()) {
    ProgressView view = ViewOf(job.progress(), ProgressView());
    if (job.has_start_time() && job.progress().has_update_time()) {
      view.elapsed = ToTime(job.progress().update_time()) - ToTime(job.start_time());
    }
    AddLine("progress", RenderProgressLine(view), &text);
  }
  if (job.has_error()) AddLine("error", Printable(job.error().message(), true), &text);
  if (job.result().has_sparsity_requested()) {
    AddLine("sparsity",
            absl::StrCat(FormatPercent(job.result().sparsity_reached()), " (requested ",
                         FormatPercent(job.result().sparsity_requested()), " of the ",
                         CandidatesOf(job.spec().target()), ")"),
            &text);
  }
  return absl::StrCat(text, AttemptsText(job, zone), MetricsText(job.result()),
                      FilesText(job.result()));
}

std::string JobTable(const std::vector<v1::Job>& jobs, absl::Time now) {
  Table table({{"job"},
               {"state"},
               {"method"},
               {"step", Align::kRight},
               {"sparsity", Align::kRight},
               {"age", Align::kRight},
               {"ran", Align::kRight},
               {"labels"}});
  for (const v1::Job& job : jobs) {
    const double sparsity = SparsityOf(job);
    table.AddRow({ShortName(job.name()), StateName(job.state()), MethodName(job.spec()),
                  job.has_progress()
                      ? absl::StrCat(job.progress().step(), "/", job.progress().total_steps())
                      : "-",
                  sparsity >= 0 ? FormatPercent(sparsity) : "-", Age(job.create_time(), now),
                  RunTime(job, now), Labels(job.spec())});
  }
  return table.Render(60);
}

std::string StateLine(const v1::JobEvent& event, absl::TimeZone zone) {
  const v1::JobStateChange& change = event.state_change();
  std::string line = absl::StrCat(absl::FormatTime("%H:%M:%S", ToTime(event.time()), zone), "  ",
                                  StateName(change.state()), "  ", ReasonName(change.reason()));
  if (change.attempt() > 0) absl::StrAppend(&line, ", attempt ", change.attempt());
  if (!change.worker_id().empty()) {
    absl::StrAppend(&line, " on worker ", Printable(change.worker_id()));
  }
  if (change.has_error()) absl::StrAppend(&line, ": ", Printable(change.error().message()));
  return line;
}

ProgressView ViewOf(const v1::Progress& progress, const ProgressView& before) {
  ProgressView view = before;
  view.phase = progress.phase();
  view.step = progress.step();
  view.total_steps = progress.total_steps();
  if (progress.has_loss()) view.loss = progress.loss();
  if (progress.has_sparsity()) view.sparsity = progress.sparsity();
  const auto accuracy = progress.metrics().find("accuracy");
  if (accuracy != progress.metrics().end()) view.accuracy = accuracy->second;
  view.remaining = absl::InfiniteDuration();
  if (progress.has_remaining()) {
    view.remaining = absl::Seconds(progress.remaining().seconds()) +
                     absl::Nanoseconds(progress.remaining().nanos());
  }
  return view;
}

std::string ArtifactTable(const std::vector<v1::Artifact>& artifacts, absl::Time now) {
  Table table({{"digest"}, {"size", Align::kRight}, {"kind"}, {"age", Align::kRight}, {"name"}});
  for (const v1::Artifact& artifact : artifacts) {
    const std::string kind = v1::ArtifactKind_Name(artifact.kind());
    table.AddRow({Printable(artifact.digest()), FormatBytes(artifact.size_bytes()),
                  absl::AsciiStrToLower(absl::StripPrefix(kind, "ARTIFACT_KIND_")),
                  Age(artifact.create_time(), now), Printable(artifact.display_name())});
  }
  return table.Render();
}

std::string WorkerTable(const std::vector<v1::Worker>& workers, absl::Time now) {
  Table table({{"worker"},
               {"state"},
               {"slots", Align::kRight},
               {"threads", Align::kRight},
               {"isa"},
               {"version"},
               {"heard", Align::kRight},
               {"jobs"}});
  for (const v1::Worker& worker : workers) {
    std::vector<std::string> jobs;
    for (const std::string& job : worker.jobs()) jobs.push_back(ShortName(job));
    table.AddRow(
        {ShortName(worker.name()), absl::AsciiStrToLower(v1::Worker::State_Name(worker.state())),
         absl::StrCat(worker.jobs_size(), "/", worker.capabilities().slots()),
         absl::StrCat(worker.capabilities().threads()), Printable(worker.capabilities().isa()),
         Printable(worker.capabilities().version()), Age(worker.last_report_time(), now),
         absl::StrJoin(jobs, " ")});
  }
  return table.Render(60);
}

}  // namespace topiary
