// The conformance suite with oneDNN and own kernels held to TEST_ISA, which BUILD defines. A
// process of its own, because oneDNN takes such a limit once.
#include <gmock/gmock.h>

#include <string>

#include "common/check.h"
#include "worker/kernels/backend_conformance.h"
#include "worker/kernels/cpu/cpu_backend.h"

namespace topiary {
namespace {

absl::StatusOr<std::unique_ptr<CpuBackend>> Create(CpuIsa isa,
                                                   Precision precision = Precision::kFloat32) {
  CpuBackendOptions options;
  options.threads = 2;
  options.max_isa = isa;
  options.precision = precision;
  return CpuBackend::Create(options);
}

std::unique_ptr<Backend> NewLimited() {
  auto backend = Create(TEST_ISA);
  CHECK(backend.ok()) << backend.status();
  return *std::move(backend);
}

INSTANTIATE_TEST_SUITE_P(Limited, BackendConformance,
                         testing::ValuesIn(ConformanceTests(NewLimited)), ConformanceTestName);

TEST(LimitedCpuBackend, SaysWhatItIsHeldTo) {
  EXPECT_EQ(NewLimited()->info().isa, TEST_ISA == CpuIsa::kAvx2 ? "avx2" : "sse41");
}

TEST(LimitedCpuBackend, RefusesBfloat16RatherThanComputeInFloat32) {
  const absl::Status status = Create(TEST_ISA, Precision::kBfloat16).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr("it runs with " + NewLimited()->info().isa),
                             testing::HasSubstr("use float32")));
}

TEST(LimitedCpuBackend, CannotBeLimitedFurtherOnceOneDnnRuns) {
  const std::unique_ptr<Backend> first = NewLimited();
  const auto second = Create(CpuIsa::kPortable);
  if (TEST_ISA == CpuIsa::kPortable) {
    EXPECT_TRUE(second.ok()) << second.status();
  } else {
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

}  // namespace
}  // namespace topiary
