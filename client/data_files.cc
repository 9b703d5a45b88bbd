#include "client/data_files.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/local_file.h"
#include "common/status_macros.h"

namespace topiary {
namespace {

constexpr char kZipMagic[] = "PK\x03\x04";

bool LooksLikeIdx(absl::string_view path) {
  absl::ConsumeSuffix(&path, ".gz");
  return absl::EndsWith(path, "-ubyte") || absl::EndsWith(path, ".idx") ||
         absl::EndsWith(path, "-idx3") || absl::EndsWith(path, "-idx1");
}

absl::StatusOr<DataFormat> FormatOf(const std::string& path) {
  ASSIGN_OR_RETURN(const LocalFile file, LocalFile::OpenForReading(path));
  if (LooksLikeIdx(path)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " looks like one of a pair of IDX files; name both: IMAGES,LABELS"));
  }
  if (absl::EndsWith(path, ".npz")) return DataFormat::kNpz;
  if (absl::EndsWith(path, ".csv") || absl::EndsWith(path, ".csv.gz")) return DataFormat::kCsv;
  ASSIGN_OR_RETURN(const std::string head, file.ReadAt(0, 4));
  return head == absl::string_view(kZipMagic, 4) ? DataFormat::kNpz : DataFormat::kCsv;
}

}  // namespace

absl::StatusOr<LocalDataSource> ParseDataSource(absl::string_view text) {
  const std::vector<std::string> paths = absl::StrSplit(text, ',');
  for (const std::string& path : paths) {
    if (path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text,
                       "\" holds an empty file name; data is FILE.npz, FILE.csv or "
                       "IMAGES,LABELS"));
    }
  }
  if (paths.size() == 1) {
    ASSIGN_OR_RETURN(const DataFormat format, FormatOf(paths[0]));
    return LocalDataSource{format, paths};
  }
  if (paths.size() > 2) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" names ", paths.size(),
                                                   " files; IDX data is a pair: IMAGES,LABELS"));
  }
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(LocalFile::OpenForReading(path).status());
  }
  return LocalDataSource{DataFormat::kIdx, paths};
}

}  // namespace topiary
