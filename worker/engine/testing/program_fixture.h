// A graph with its parameters and a program on the reference backend. Tests only.
#ifndef TOPIARY_WORKER_ENGINE_TESTING_PROGRAM_FIXTURE_H_
#define TOPIARY_WORKER_ENGINE_TESTING_PROGRAM_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/engine/parameter_store.h"
#include "worker/engine/program.h"
#include "worker/kernels/reference/reference_backend.h"
#include "worker/model/graph.h"

namespace topiary {

struct ProgramFixture {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<ParameterStore> store;
  std::unique_ptr<Program> program;

  float* value(const std::string& name) const { return store->Find(name)->value; }
  float* gradient(const std::string& name) const { return store->Find(name)->gradient; }
};

// Builds on `backend`, or on a new reference backend if null.
absl::StatusOr<ProgramFixture> BuildFixture(const Graph& graph, const ProgramOptions& options,
                                            std::unique_ptr<Backend> backend = nullptr);

// Fills inputs with normal random numbers and values of teachers with normal random numbers,
// and labels with legal ones, by `seed`.
void FillWithRandomData(const Program& program, LossKind loss, uint64_t seed);

// The numbers of output `i`.
std::vector<float> OutputOf(const Program& program, int i = 0);

}  // namespace topiary

#endif  // TOPIARY_WORKER_ENGINE_TESTING_PROGRAM_FIXTURE_H_
