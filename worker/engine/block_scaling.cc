#include "worker/engine/block_scaling.h"

#include <utility>

#include "common/status_macros.h"

namespace topiary {
namespace {

// Plans `op`, binds it to `buffers` and keeps its scratch memory in `scratch`.
absl::StatusOr<std::unique_ptr<Kernel>> PlanAndBind(Backend* backend, const OpDescription& op,
                                                    absl::Span<void* const> buffers,
                                                    std::vector<Buffer>* scratch) {
  ASSIGN_OR_RETURN(std::unique_ptr<Kernel> kernel, backend->Plan(op));
  ASSIGN_OR_RETURN(Buffer memory, backend->Allocate(kernel->scratch_bytes()));
  kernel->Bind(buffers, memory.data());
  scratch->push_back(std::move(memory));
  return kernel;
}

TensorDescription Vector(int64_t size) { return {Shape({size}), DType::kFloat32, Layout::Plain()}; }

}  // namespace

absl::StatusOr<std::unique_ptr<BlockScaling>> BlockScaling::Create(ParameterStore* store) {
  std::unique_ptr<BlockScaling> scaling(new BlockScaling(store));
  for (const Parameter& parameter : store->parameters()) {
    if (parameter.runs == nullptr) continue;
    BlockParameters p;
    p.runs = parameter.runs;
    const TensorDescription elements = Vector(parameter.size);
    const TensorDescription blocks = Vector(parameter.runs->block_count);
    ASSIGN_OR_RETURN(
        std::unique_ptr<Kernel> scale,
        PlanAndBind(store->backend(), {OpKind::kScaleBlocks, p, {elements, blocks, elements}},
                    {parameter.value, parameter.block_scale, parameter.effective},
                    &scaling->scratch_));
    ASSIGN_OR_RETURN(
        std::unique_ptr<Kernel> product,
        PlanAndBind(store->backend(),
                    {OpKind::kBlockInnerProducts, p, {elements, elements, blocks}},
                    {parameter.gradient, parameter.value, parameter.block_inner_product},
                    &scaling->scratch_));
    scaling->scale_.push_back(std::move(scale));
    scaling->inner_product_.push_back(std::move(product));
  }
  store->Freeze();
  return scaling;
}

void BlockScaling::ApplyScales() {
  // The last first: an optimizer just updated it, and the first is read next, by the forward pass.
  for (auto kernel = scale_.rbegin(); kernel != scale_.rend(); ++kernel) (*kernel)->Run();
  if (!scale_.empty()) store_->MarkChanged();
}

void BlockScaling::ComputeInnerProducts() {
  for (const std::unique_ptr<Kernel>& kernel : inner_product_) kernel->Run();
}

}  // namespace topiary
