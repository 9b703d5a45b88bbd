// Jobs that prune structures, for tests.
#ifndef TOPIARY_WORKER_PIPELINE_STRUCTURED_JOBS_TEST_UTIL_H_
#define TOPIARY_WORKER_PIPELINE_STRUCTURED_JOBS_TEST_UTIL_H_

#include <string>

#include "worker/pipeline/pipeline_test_util.h"

namespace topiary {

// SmallJob() with a structure in place of blocks.
inline JobSpec StructuredJob(const std::string& folder, const Graph& graph, Structure structure) {
  JobSpec spec = SmallJob(folder, graph);
  spec.target->structure = structure;
  spec.outputs.block_sparse = false;
  return spec;
}

}  // namespace topiary

#endif  // TOPIARY_WORKER_PIPELINE_STRUCTURED_JOBS_TEST_UTIL_H_
