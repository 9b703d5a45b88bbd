#ifndef TOPIARY_CLIENT_DATA_FILES_H_
#define TOPIARY_CLIENT_DATA_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace topiary {

enum class DataFormat { kNpz, kIdx, kCsv };

// The files of one data source on this machine.
struct LocalDataSource {
  DataFormat format = DataFormat::kNpz;
  std::vector<std::string> paths;  // Two for kIdx: images, labels. Else one.
};

// What a user names as data: "data.npz", "table.csv", "table.csv.gz", or a pair of IDX files
// "images.gz,labels.gz". The name tells the format, or where it does not, the file's first bytes
// (a zip archive is an .npz; a single file of another kind is CSV).
// INVALID_ARGUMENT for another number of files and for one IDX file without its partner; NOT_FOUND
// for a missing file.
absl::StatusOr<LocalDataSource> ParseDataSource(absl::string_view text);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_DATA_FILES_H_
