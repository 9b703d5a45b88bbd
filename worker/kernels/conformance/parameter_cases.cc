#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/kernels/conformance/conformance_case.h"

namespace topiary {
namespace {

// Blocks of `rows` x `cols` over a row-major [height, width] matrix, ragged at the edges.
std::shared_ptr<const BlockRuns> MatrixBlocks(int64_t height, int64_t width, int64_t rows,
                                              int64_t cols) {
  auto blocks = std::make_shared<BlockRuns>();
  const int64_t across = (width + cols - 1) / cols;
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t c = 0; c < width; c += cols) {
      blocks->runs.push_back({r * width + c, static_cast<int32_t>(std::min(cols, width - c)), 1,
                              static_cast<int32_t>(r / rows * across + c / cols)});
    }
  }
  blocks->block_count = (height + rows - 1) / rows * across;
  return blocks;
}

// As of a 3x3 convolution: nine interleaved runs of stride 9 for every 8 input channels.
std::shared_ptr<const BlockRuns> StridedBlocks(int64_t outputs) {
  auto blocks = std::make_shared<BlockRuns>();
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t position = 0; position < 9; ++position) {
      blocks->runs.push_back(
          {o * 72 + position, 8, 9, static_cast<int32_t>(position + 9 * (o / 4))});
    }
  }
  blocks->block_count = (outputs + 3) / 4 * 9;
  return blocks;
}

// Columns of single elements over a row-major [height, width] matrix: blocks are numbered column by
// column, so that a row steps over them.
std::shared_ptr<const BlockRuns> SteppedBlocks(int64_t height, int64_t width) {
  auto blocks = std::make_shared<BlockRuns>();
  for (int64_t r = 0; r < height; ++r) {
    blocks->runs.push_back({r * width, static_cast<int32_t>(width), 1, static_cast<int32_t>(r),
                            static_cast<int32_t>(height)});
  }
  blocks->block_count = height * width;
  return blocks;
}

// The same of two rows in turns, as two places of a kernel are, in blocks of two rows.
std::shared_ptr<const BlockRuns> StridedSteps(int64_t height, int64_t width) {
  auto blocks = std::make_shared<BlockRuns>();
  for (int64_t r = 0; r < height; ++r) {
    for (int64_t place = 0; place < 2; ++place) {
      blocks->runs.push_back({2 * r * width + place, static_cast<int32_t>(width), 2,
                              static_cast<int32_t>(r / 2 * 2 * width + place * width), 1});
    }
  }
  blocks->block_count = (height + 1) / 2 * 2 * width;
  return blocks;
}

void PruneEverySecond(Tensor* scale) {
  for (int64_t i = 0; i < scale->element_count(); i += 2) scale->data<float>()[i] = 0;
}

void AddBlockCases(const char* name, const std::shared_ptr<const BlockRuns>& blocks, int64_t size,
                   ConformanceCases* cases) {
  BlockParameters p;
  p.runs = blocks;
  cases->push_back(CaseBuilder(absl::StrCat("ScaleBlocks", name), OpKind::kScaleBlocks, p)
                       .Read(Shape({size}))
                       .Read(Shape({blocks->block_count}), Fill::kPositive)
                       .Write(Shape({size}))
                       .Prepare([](std::vector<Tensor>* t) { PruneEverySecond(&(*t)[1]); })
                       .Build());
  cases->push_back(
      CaseBuilder(absl::StrCat("BlockInnerProducts", name), OpKind::kBlockInnerProducts, p)
          .Read(Shape({size}))
          .Read(Shape({size}))
          .Write(Shape({blocks->block_count}))
          .Build());
}

OptimizerParameters Sgd(float momentum, bool nesterov, float decay) {
  OptimizerParameters p;
  p.kind = OptimizerKind::kSgd;
  p.momentum = momentum;
  p.nesterov = nesterov;
  p.weight_decay = decay;
  return p;
}

OptimizerParameters Adam(OptimizerKind kind, float decay) {
  OptimizerParameters p;
  p.kind = kind;
  p.weight_decay = decay;
  p.learning_rate_multiplier = 2;
  return p;
}

void AddOptimizer(const std::string& name, OptimizerParameters p, int64_t size,
                  const std::shared_ptr<const BlockRuns>& blocks, ConformanceCases* cases) {
  auto scalars = std::make_shared<UpdateScalars>();
  *scalars = {0.05f, 0.5f, 1 - 0.729f, 1 - 0.997f};
  p.scalars = scalars.get();
  p.runs = blocks;
  const int slots = OptimizerSlotCount(p);
  CaseBuilder builder(absl::StrCat("OptimizerUpdate", name, blocks == nullptr ? "" : "Blocks"),
                      OpKind::kOptimizerUpdate, p);
  builder.Read(Shape({size})).Read(Shape({size}));
  for (int i = 0; i < slots; ++i) builder.Read(Shape({size}), Fill::kPositive);
  if (blocks != nullptr) {
    builder.Read(Shape({blocks->block_count}), Fill::kPositive);
    builder.Prepare([slots](std::vector<Tensor>* t) { PruneEverySecond(&(*t)[2 + slots]); });
    if (p.inner_products) builder.Write(Shape({blocks->block_count}));
  }
  cases->push_back(builder.KeepAlive(std::move(scalars)).Build());
}

}  // namespace

void AddParameterCases(ConformanceCases* cases) {
  const std::shared_ptr<const BlockRuns> ragged = MatrixBlocks(21, 37, 8, 16);
  AddBlockCases("Ragged", ragged, 21 * 37, cases);
  AddBlockCases("SingleElements", MatrixBlocks(5, 7, 1, 1), 35, cases);
  AddBlockCases("Stepped", SteppedBlocks(70, 53), 70 * 53, cases);
  AddBlockCases("StridedSteps", StridedSteps(7, 31), 2 * 7 * 31, cases);
  AddBlockCases("WholeTensor", MatrixBlocks(6, 6, 6, 6), 36, cases);
  AddBlockCases("Strided", StridedBlocks(10), 720, cases);
  const std::pair<const char*, OptimizerParameters> optimizers[] = {
      {"Sgd", Sgd(0, false, 0)},
      {"SgdDecay", Sgd(0, false, 0.1f)},
      {"Momentum", Sgd(0.9f, false, 0.01f)},
      {"Nesterov", Sgd(0.9f, true, 0.01f)},
      {"Adam", Adam(OptimizerKind::kAdam, 0)},
      {"AdamDecay", Adam(OptimizerKind::kAdam, 0.1f)},
      {"AdamW", Adam(OptimizerKind::kAdamW, 0.1f)},
  };
  for (const auto& [name, parameters] : optimizers) {
    AddOptimizer(name, parameters, 21 * 37, nullptr, cases);
    AddOptimizer(name, parameters, 21 * 37, ragged, cases);
    AddOptimizer(absl::StrCat(name, "Strided"), parameters, 720, StridedBlocks(10), cases);
    AddOptimizer(absl::StrCat(name, "Stepped"), parameters, 70 * 53, SteppedBlocks(70, 53), cases);
    AddOptimizer(absl::StrCat(name, "Long"), parameters, 50000, nullptr, cases);
    OptimizerParameters with_products = parameters;
    with_products.inner_products = true;
    AddOptimizer(absl::StrCat(name, "Products"), with_products, 21 * 37, ragged, cases);
    AddOptimizer(absl::StrCat(name, "ProductsStepped"), with_products, 70 * 53,
                 SteppedBlocks(70, 53), cases);
    AddOptimizer(absl::StrCat(name, "ProductsStrided"), with_products, 720, StridedBlocks(10),
                 cases);
  }
  for (const int64_t size : {int64_t{1}, int64_t{1000}, int64_t{100003}}) {
    cases->push_back(
        CaseBuilder(absl::StrCat("SumOfSquares", size), OpKind::kSumOfSquares, OpParameters())
            .Read(Shape({size}))
            .Write(Shape({1}))
            .Build());
  }
}

}  // namespace topiary
