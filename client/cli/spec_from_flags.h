#ifndef TOPIARY_CLIENT_CLI_SPEC_FROM_FLAGS_H_
#define TOPIARY_CLIENT_CLI_SPEC_FROM_FLAGS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/job_flags.h"
#include "client/data_files.h"
#include "topiary/v1/spec.pb.h"

namespace topiary {

// Lays `flags` over `spec`, all but the files (model, train, evaluation). Pure. What a flag does
// not say stays as it is in `spec`; ranges are checked by the server. A usage error (exit_code.h)
// that names the flag for a word or form it does not know.
absl::Status ApplyFlags(const JobFlags& flags, v1::CompressionSpec* spec);

// The data source for files that were uploaded under `digests`, as many as `source.paths`.
// `base` is what the spec said of this data before; its format must be the same, if it has one.
absl::StatusOr<v1::DataSource> MakeDataSource(const JobFlags& flags, const LocalDataSource& source,
                                              const std::vector<std::string>& digests,
                                              const v1::DataSource& base);

// "16x16", "1x8" -> rows, columns.
absl::StatusOr<std::pair<int, int>> ParseBlock(absl::string_view flag, absl::string_view text);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SPEC_FROM_FLAGS_H_
