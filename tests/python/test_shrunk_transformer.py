"""`topiary shrink` takes attention heads out of an encoder, and ONNX Runtime computes the same afterwards."""
import json
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, DEPTH, HIDDEN, PLACES, IDS = 12, 3, 4, 20, 6, 17


class Encoder:
    """One block as PyTorch's older exporter writes it: heads are split by extents computed from shapes."""

    def __init__(self):
        self.random = np.random.default_rng(3)
        self.nodes, self.weights = [], []
        self.zero = self.constant("zero", np.array([0]))

    def constant(self, name, value):
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name, *shape):
        return self.constant(name, self.random.normal(size=shape).astype(np.float32) * 0.4)

    def node(self, op_type, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def linear(self, name, src, inner, outer):
        turned = self.node("Transpose", [self.weight(f"{name}.weight", outer, inner)], f"{name}.t", perm=[1, 0])
        product = self.node("MatMul", [src, turned], f"{name}.product")
        return self.node("Add", [self.weight(f"{name}.bias", outer), product], name)

    def reshaped(self, src, like, extents, output):
        shape = self.node("Shape", [like], f"{output}.like")
        parts = []
        for i in range(2):
            index = self.constant(f"{output}.index{i}", np.array(i))
            parts.append(self.node("Gather", [shape, index], f"{output}.extent{i}"))
        parts += [self.constant(f"{output}.number{i}", np.array(extent)) for i, extent in enumerate(extents)]
        parts = [self.node("Unsqueeze", [part, self.zero], f"{part}.one") for part in parts]
        return self.node("Reshape", [src, self.node("Concat", parts, f"{output}.to", axis=0)], output)

    def heads(self, name, x, perm):
        value = self.linear(name, x, WIDTH, WIDTH)
        return self.node("Transpose", [self.reshaped(value, x, [HEADS, DEPTH], f"{name}.split")], f"{name}.heads", perm=perm)

    def normalized(self, name, a, b):
        total = self.node("Add", [a, b], f"{name}.sum")
        scales = [self.weight(f"{name}.scale", WIDTH), self.weight(f"{name}.shift", WIDTH)]
        return self.node("LayerNormalization", [total, *scales], name)

    def build(self):
        x = self.node("Gather", [self.weight("table", IDS, WIDTH), "ids"], "x")
        scores = self.node("MatMul", [self.heads("q", x, [0, 2, 1, 3]), self.heads("k", x, [0, 2, 3, 1])], "products")
        scores = self.node("Div", [scores, self.constant("root", np.array(DEPTH ** 0.5, np.float32))], "scores")
        mask = np.triu(np.full((PLACES, PLACES), -1e9, np.float32), 1)
        shares = self.node("Softmax", [self.node("Add", [scores, self.constant("mask", mask)], "masked")], "shares", axis=-1)
        back = self.node("Transpose", [self.node("MatMul", [shares, self.heads("v", x, [0, 2, 1, 3])], "mixed")], "back",
                         perm=[0, 2, 1, 3])
        joined = self.reshaped(back, x, [WIDTH], "joined")
        y = self.normalized("ln1", x, self.linear("o", joined, WIDTH, WIDTH))
        hidden = self.node("Relu", [self.linear("up", y, WIDTH, HIDDEN)], "relu")
        self.normalized("ln2", y, self.linear("down", hidden, HIDDEN, WIDTH))
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", PLACES])
        output = helper.make_tensor_value_info("ln2", TensorProto.FLOAT, ["batch", PLACES, WIDTH])
        graph = helper.make_graph(self.nodes, "encoder", [ids], [output], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cleared(model, name, axis, indices):
    for item in model.graph.initializer:
        if item.name == name:
            value = numpy_helper.to_array(item).copy()
            value[(slice(None),) * axis + (indices,)] = 0
            item.CopyFrom(numpy_helper.from_array(value, name))


@pytest.mark.parametrize("emptied, left", [((), 3), (("reader",), 2), (("values",), 2), (("reader", "values"), 1)])
def test_emptied_heads_go_and_onnx_runtime_computes_the_same(binary, tmp_path, emptied, left):
    model = Encoder().build()
    onnx.checker.check_model(model, full_check=True)
    if "reader" in emptied:  # Nothing reads the second head.
        cleared(model, "o.weight", 1, slice(DEPTH, 2 * DEPTH))
    if "values" in emptied:  # The values of the first are their bias.
        cleared(model, "v.weight", 0, slice(0, DEPTH))
    onnx.save(model, str(tmp_path / "emptied.onnx"))
    done = subprocess.run([binary("//client/cli:topiary"), "--output", "json", "shrink", tmp_path / "emptied.onnx",
                           tmp_path / "shrunk.onnx"], capture_output=True, text=True, timeout=60, check=True)
    after = {tensor["name"]: tensor["after"] for tensor in json.loads(done.stdout)["tensors"]}
    if emptied:
        assert after["q.weight"] == after["k.weight"] == after["v.weight"] == [left * DEPTH, WIDTH]
        assert after["o.weight"] == [WIDTH, left * DEPTH]
    else:
        assert not after
    onnx.checker.check_model(str(tmp_path / "shrunk.onnx"), full_check=True)
    sessions = [onnxruntime.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"])
                for name in ("emptied.onnx", "shrunk.onnx")]
    for batch in (1, 2, 5):
        ids = np.random.default_rng(batch).integers(0, IDS, (batch, PLACES))
        wanted, got = (session.run(None, {"ids": ids})[0] for session in sessions)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
