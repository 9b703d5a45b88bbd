#ifndef TOPIARY_SERVER_API_SWEEP_REPORT_H_
#define TOPIARY_SERVER_API_SWEEP_REPORT_H_

#include <vector>

#include "server/jobs/job.h"
#include "server/scheduling/sweep_finisher.h"

namespace topiary {

// The report of a sweep, as docs/methods/sweeps.md describes it: what each child was to do and came
// to, means over children that differ in their seed alone, and which of both are on the front of
// main metric, sparsity and bytes. The same `children`, in order, give the same bytes. The options
// of a method are in it once, however many children have them: they may take as much as a spec.
//
// A child that has no result, or one that cannot be read, has its state and error in its row.
SweepReport MakeSweepReport(const Job& sweep, const std::vector<Job>& children);

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_SWEEP_REPORT_H_
