#ifndef TOPIARY_CLIENT_CLI_SWEEP_TABLES_H_
#define TOPIARY_CLIENT_CLI_SWEEP_TABLES_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "topiary/v1/jobs.pb.h"

namespace topiary {

// Sweeps as text for people. Pure; everything that others wrote is made printable.

// What the sweep's lists hold, a line each.
std::string SweepText(const v1::Sweep& sweep);

// One row per child, as it is now; `children` are all of one sweep.
std::string ChildTable(const std::vector<v1::Job>& children);

// Whether a report is that of a sweep.
bool IsSweepReport(const nlohmann::json& report);

// Its children, the means over their seeds where there are several, and the fronts of both.
std::string SweepReportText(const nlohmann::json& report);

}  // namespace topiary

#endif  // TOPIARY_CLIENT_CLI_SWEEP_TABLES_H_
