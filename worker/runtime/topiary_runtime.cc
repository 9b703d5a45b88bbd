#include "worker/runtime/topiary_runtime.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "worker/runtime/model.h"

struct topiary_model {
  std::unique_ptr<topiary::Model> model;
  std::vector<topiary_tensor> inputs;
  std::vector<topiary_tensor> outputs;
};

namespace {

std::vector<topiary_tensor> Describe(absl::Span<const topiary::ModelTensor> tensors) {
  std::vector<topiary_tensor> described;
  for (const topiary::ModelTensor& tensor : tensors) {
    const bool ids = tensor.type == topiary::ModelTensor::Type::kInt64;
    described.push_back({tensor.name.c_str(), ids ? TOPIARY_INT64 : TOPIARY_FLOAT32,
                         tensor.shape.size(), tensor.shape.data(), tensor.data, tensor.bytes});
  }
  return described;
}

void Report(const std::string& message, char* error, size_t error_size) {
  if (error == nullptr || error_size == 0) return;
  const size_t length = std::min(message.size(), error_size - 1);
  std::copy_n(message.data(), length, error);
  error[length] = '\0';
}

topiary::ModelOptions::Kernels KernelsOf(topiary_kernels kernels) {
  using Kernels = topiary::ModelOptions::Kernels;
  switch (kernels) {
    case TOPIARY_BLOCK_SPARSE_KERNELS:
      return Kernels::kBlockSparse;
    case TOPIARY_DENSE_KERNELS:
      return Kernels::kDense;
    case TOPIARY_MEASURED_KERNELS:
      break;
  }
  return Kernels::kMeasured;
}

const topiary_tensor* At(const std::vector<topiary_tensor>& tensors, size_t index) {
  return index < tensors.size() ? &tensors[index] : nullptr;
}

}  // namespace

topiary_model* topiary_load(const char* path, int64_t batch, int threads, topiary_kernels kernels,
                            const char* layer_costs_folder, char* error, size_t error_size) {
  // The libraries below may throw for lack of memory, which C cannot catch.
  try {
    topiary::ModelOptions options;
    options.batch = batch;
    options.threads = threads;
    options.kernels = KernelsOf(kernels);
    if (layer_costs_folder != nullptr) options.layer_costs_folder = layer_costs_folder;
    absl::StatusOr<std::unique_ptr<topiary::Model>> model = topiary::Model::Load(path, options);
    if (!model.ok()) {
      Report(std::string(model.status().message()), error, error_size);
      return nullptr;
    }
    auto loaded = std::make_unique<topiary_model>();
    loaded->model = *std::move(model);
    loaded->inputs = Describe(loaded->model->inputs());
    loaded->outputs = Describe(loaded->model->outputs());
    return loaded.release();
  } catch (const std::exception& exception) {
    Report(exception.what(), error, error_size);
    return nullptr;
  }
}

void topiary_free(topiary_model* model) { delete model; }

size_t topiary_input_count(const topiary_model* model) { return model->inputs.size(); }

size_t topiary_output_count(const topiary_model* model) { return model->outputs.size(); }

const topiary_tensor* topiary_input(const topiary_model* model, size_t index) {
  return At(model->inputs, index);
}

const topiary_tensor* topiary_output(const topiary_model* model, size_t index) {
  return At(model->outputs, index);
}

size_t topiary_sparse_weight_count(const topiary_model* model) {
  return model->model->sparse_weights().size();
}

int topiary_run(topiary_model* model) {
  try {
    model->model->Run();
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
