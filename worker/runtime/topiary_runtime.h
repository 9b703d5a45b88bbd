/* The runtime as a C library: libtopiary_runtime.so. See model.h for what it does.
 *
 * No function throws. Arguments must not be NULL unless said otherwise. A model may be used by one
 * thread at a time.
 */
#ifndef TOPIARY_WORKER_RUNTIME_TOPIARY_RUNTIME_H_
#define TOPIARY_WORKER_RUNTIME_TOPIARY_RUNTIME_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct topiary_model topiary_model;

typedef enum { TOPIARY_FLOAT32 = 0, TOPIARY_INT64 = 1 } topiary_type;

typedef struct {
  const char* name;
  topiary_type type;
  size_t rank;
  const int64_t* shape; /* [rank]; the first is the batch. */
  void* data;           /* Row-major, `bytes` of it; belongs to the model and never moves. */
  size_t bytes;
} topiary_tensor;

/* How weights with pruned blocks are multiplied: as is faster for each of them here, which is
 * measured while the model is loaded; without those blocks wherever that is possible; with them. */
typedef enum {
  TOPIARY_MEASURED_KERNELS = 0,
  TOPIARY_BLOCK_SPARSE_KERNELS = 1,
  TOPIARY_DENSE_KERNELS = 2
} topiary_kernels;

/* Loads a model file: block-compressed where its name ends in ".safetensors", else ONNX. `batch`
 * examples are computed in each run, on `threads` threads (0: as many as the process may run on).
 * Measurements are kept in `layer_costs_folder` for the next load, which then comes to the same
 * choice of kernels, and so to the same bits; NULL: each load measures anew.
 *
 * Returns NULL on error, with the reason in `error`, which has room for `error_size` bytes and is
 * always terminated (NULL with 0: the reason is not wanted). To be freed by topiary_free(). */
topiary_model* topiary_load(const char* path, int64_t batch, int threads, topiary_kernels kernels,
                            const char* layer_costs_folder, char* error, size_t error_size);
/* NULL is allowed. */
void topiary_free(topiary_model* model);

size_t topiary_input_count(const topiary_model* model);
size_t topiary_output_count(const topiary_model* model);
/* What is returned is valid until topiary_free(); NULL where `index` is no input or output. */
const topiary_tensor* topiary_input(const topiary_model* model, size_t index);
const topiary_tensor* topiary_output(const topiary_model* model, size_t index);

/* Weights of which the pruned blocks are left out. */
size_t topiary_sparse_weight_count(const topiary_model* model);

/* Computes the outputs from the inputs. Returns 0; another number where the processor's library
 * failed, and the outputs are worth nothing. */
int topiary_run(topiary_model* model);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TOPIARY_WORKER_RUNTIME_TOPIARY_RUNTIME_H_ */
