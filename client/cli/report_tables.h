#ifndef TOPIARY_CLIENT_CLI_REPORT_TABLES_H_
#define TOPIARY_CLIENT_CLI_REPORT_TABLES_H_

#include <string>

#include "absl/status/statusor.h"

namespace topiary {

// A job's report.json as tables for the terminal: what was done, metrics of the model as given, the
// dense and the pruned one, sparsity and bytes per layer, phases, costs and environment. What a
// report of another version lacks is left out. Pure.
// INVALID_ARGUMENT if `json` is no report.
absl::StatusOr<std::string> ReportText(const std::string& json);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_REPORT_TABLES_H_
