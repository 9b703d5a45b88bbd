#!/usr/bin/env python3
"""Other runtimes' side of the whole-model benchmark: forward passes of one model on one batch.

  infer_peer.py RUNTIME MODEL FILES [--threads N] [--batch B]

RUNTIME is onnxruntime or openvino, which run FILES.onnx, or torch, torch-compile or torch-bsr, which run
MODEL of torch_peer.py: the same shapes with weights of their own; torch-bsr with a tenth of the blocks of
--block of each linear layer as a block-sparse (BSR) tensor. Reads the batch from FILES.inputs (raw bytes,
input after input), writes the output to FILES.output where the weights are those of FILES.onnx, and prints
one JSON line with the peer's name. Then answers each line "step N" on standard input by N forward passes
and one JSON line with their mean duration.
"""
import argparse
import json
import sys
import time

import numpy


def read_inputs(path, descriptions, batch):
    """The arrays of the batch; descriptions are (name, dtype, shape without the batch)."""
    data = open(path, "rb").read()
    arrays, at = {}, 0
    for name, dtype, shape in descriptions:
        count = batch * int(numpy.prod(shape))
        size = count * numpy.dtype(dtype).itemsize
        arrays[name] = numpy.frombuffer(data[at:at + size], dtype).reshape(batch, *shape)
        at += size
    return arrays


def run_onnxruntime(a):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(a.files + ".onnx", options,
                                           providers=["CPUExecutionProvider"])
    types = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}
    described = [(i.name, types[i.type], i.shape[1:]) for i in session.get_inputs()]
    feed = read_inputs(a.files + ".inputs", described, a.batch)
    return f"onnxruntime {onnxruntime.__version__}", lambda: session.run(None, feed)[0]


def run_openvino(a):
    import openvino

    core = openvino.Core()
    model = core.read_model(a.files + ".onnx")
    types = {"f32": numpy.float32, "i64": numpy.int64}
    described = [(p.get_any_name(), types[p.get_element_type().get_type_name()],
                  [d.get_length() for d in list(p.get_partial_shape())[1:]])
                 for p in model.inputs]
    model.reshape({name: [a.batch, *shape] for name, _, shape in described})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32",
                                                 "INFERENCE_NUM_THREADS": a.threads,
                                                 "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    feed = read_inputs(a.files + ".inputs", described, a.batch)
    for name, array in feed.items():
        request.set_tensor(name, openvino.Tensor(numpy.ascontiguousarray(array)))

    def run():
        request.infer()
        return request.get_output_tensor(0).data

    return f"openvino {openvino.__version__}", run


def keep_a_tenth_as_bsr(torch, model, block, min_blocks):
    """Makes the weight of each linear layer of at least min_blocks blocks a BSR tensor of its largest tenth."""
    for layer in model.modules():
        if not isinstance(layer, torch.nn.Linear):
            continue
        rows, cols = layer.weight.shape
        if rows % block or cols % block or rows * cols // block ** 2 < min_blocks:
            continue
        blocks = layer.weight.detach().reshape(rows // block, block, cols // block, block)
        norms = blocks.square().sum((1, 3))
        kept = norms >= norms.flatten().kthvalue(norms.numel() - norms.numel() // 10 + 1).values
        dense = (blocks * kept[:, None, :, None]).reshape(rows, cols)
        layer.weight = torch.nn.Parameter(dense.to_sparse_bsr((block, block)), requires_grad=False)


def run_torch(a):
    import torch
    import torch_peer

    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    model = torch_peer.MODELS[a.model][0]().eval()
    example = torch_peer.MODELS[a.model][1](1)
    described = [(i, t.numpy().dtype, list(t.shape[1:])) for i, t in enumerate(example)]
    feed = read_inputs(a.files + ".inputs", described, a.batch)
    inputs = [torch.from_numpy(feed[i].copy()) for i in range(len(described))]
    if any(t.dim() == 4 for t in inputs):
        model = model.to(memory_format=torch.channels_last)
        inputs = [t.to(memory_format=torch.channels_last) for t in inputs]
    if a.runtime == "torch-bsr":
        keep_a_tenth_as_bsr(torch, model, a.block, a.min_blocks)
    if a.runtime == "torch-compile":
        model = torch.compile(model)

    def run():
        with torch.no_grad():  # Inference mode cannot take a BSR weight.
            return model(*inputs).numpy()

    return f"{a.runtime} {torch.__version__}", run


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime", choices=("onnxruntime", "openvino", "torch", "torch-compile", "torch-bsr"))
    parser.add_argument("model")
    parser.add_argument("files")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--block", type=int, default=32)
    parser.add_argument("--min-blocks", type=int, default=100)
    a = parser.parse_args()
    start = {"onnxruntime": run_onnxruntime, "openvino": run_openvino}.get(a.runtime, run_torch)
    name, run = start(a)
    for _ in range(3):
        output = run()
    if start is not run_torch:
        numpy.ascontiguousarray(output, numpy.float32).tofile(a.files + ".output")
    print(json.dumps({"peer": name}), flush=True)
    for line in sys.stdin:
        command, steps = line.split()
        if command != "step":
            sys.exit(f"unknown command: {command}")
        began = time.perf_counter()
        for _ in range(int(steps)):
            run()
        print(json.dumps({"seconds": (time.perf_counter() - began) / int(steps)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
