#!/usr/bin/python3
"""Runs a pruned model with Topiary's runtime, libtopiary_runtime.so, through ctypes.

    ./predict.py --library bazel-bin/worker/runtime/libtopiary_runtime.so \\
        --model result/model.safetensors --data test.npz [--array x] [--batch 64] [--threads 1]

Prints the class of the highest score of each example, and how long a batch takes with the pruned
blocks left out and with all weights dense (for an ONNX file, which does not say what was pruned,
twice the latter). Needs Debian's python3-numpy, nothing else.
"""
import argparse
import ctypes
import sys
import time

import numpy

TYPES = [numpy.float32, numpy.int64]
# topiary_kernels: as is faster for each weight, or with pruned blocks too.
MEASURED_KERNELS, DENSE_KERNELS = 0, 2


class Tensor(ctypes.Structure):
    """topiary_tensor of topiary_runtime.h."""

    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_int), ("rank", ctypes.c_size_t),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("data", ctypes.c_void_p),
                ("bytes", ctypes.c_size_t)]

    def array(self):
        """The tensor's memory as an array; valid as long as its model."""
        dtype = numpy.dtype(TYPES[self.type])
        shape = [self.shape[axis] for axis in range(self.rank)]
        memory = (ctypes.c_byte * self.bytes).from_address(self.data)
        return numpy.frombuffer(memory, dtype).reshape(shape)


class Model:
    """A model file, loaded for batches of one size."""

    def __init__(self, library, path, batch=1, threads=0, dense=False):
        self.library = library
        error = ctypes.create_string_buffer(2000)
        kernels = DENSE_KERNELS if dense else MEASURED_KERNELS
        self.handle = library.topiary_load(str(path).encode(), batch, threads, kernels, None,
                                           error, len(error))
        if not self.handle:
            raise ValueError(error.value.decode(errors="replace"))
        self.inputs = [library.topiary_input(self.handle, i).contents.array()
                       for i in range(library.topiary_input_count(self.handle))]
        self.outputs = [library.topiary_output(self.handle, i).contents.array()
                        for i in range(library.topiary_output_count(self.handle))]

    def run(self):
        """Computes `outputs` from `inputs`."""
        if self.library.topiary_run(self.handle) != 0:
            raise RuntimeError("the run failed")

    def close(self):
        """Frees the model, and with it the memory of its arrays."""
        self.inputs = self.outputs = []
        self.library.topiary_free(self.handle)


def load_library(path):
    """The shared library, with the types of its functions."""
    library = ctypes.CDLL(str(path))
    model = ctypes.c_void_p
    library.topiary_load.restype = model
    library.topiary_load.argtypes = [ctypes.c_char_p, ctypes.c_int64, ctypes.c_int, ctypes.c_int,
                                     ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    for name in ("topiary_input_count", "topiary_output_count"):
        getattr(library, name).restype = ctypes.c_size_t
        getattr(library, name).argtypes = [model]
    for name in ("topiary_input", "topiary_output"):
        getattr(library, name).restype = ctypes.POINTER(Tensor)
        getattr(library, name).argtypes = [model, ctypes.c_size_t]
    library.topiary_run.restype = ctypes.c_int
    library.topiary_free.restype = None
    for name in ("topiary_run", "topiary_free"):
        getattr(library, name).argtypes = [model]
    return library


def predict(model, examples):
    """The model's scores for each example, batch by batch."""
    scores = []
    batch = len(model.inputs[0])
    for begin in range(0, len(examples), batch):
        rows = examples[begin:begin + batch]
        model.inputs[0][:len(rows)] = rows.reshape(len(rows), *model.inputs[0].shape[1:])
        model.run()
        scores.append(model.outputs[0][:len(rows)].copy())
    return numpy.concatenate(scores)


def median_milliseconds(models, runs=50):
    """The median time of a run of each model; the models take turns."""
    times = [[] for _ in models]
    for _ in range(runs):
        for model, taken in zip(models, times):
            begin = time.perf_counter()
            model.run()
            taken.append(time.perf_counter() - begin)
    return [1e3 * float(numpy.median(taken)) for taken in times]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, help="libtopiary_runtime.so")
    parser.add_argument("--model", required=True, help="model.safetensors or model.onnx")
    parser.add_argument("--data", required=True, help="an .npz file")
    parser.add_argument("--array", default="x", help="array of the examples in it [x]")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0)
    flags = parser.parse_args()

    library = load_library(flags.library)
    try:
        pruned, dense = (Model(library, flags.model, flags.batch, flags.threads, dense)
                         for dense in (False, True))
    except ValueError as error:
        sys.exit(f"{flags.model}: {error}")
    if len(pruned.inputs) != 1:
        sys.exit(f"{flags.model}: {len(pruned.inputs)} inputs; this example feeds one")
    data = numpy.load(flags.data)
    if flags.array not in data:
        sys.exit(f"{flags.data}: there is no array {flags.array!r}, but {', '.join(data)}")
    scores = predict(pruned, data[flags.array])
    print(*scores.argmax(axis=-1).ravel())
    sparse_ms, dense_ms = median_milliseconds([pruned, dense])
    print(f"a batch of {flags.batch}: {sparse_ms:.3f} ms, dense {dense_ms:.3f} ms", file=sys.stderr)
    pruned.close()
    dense.close()


if __name__ == "__main__":
    main()
