"""Writes ONNX graphs with random weights: equal arguments give equal bytes."""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8


class Graph:
    """Collects nodes and weights; values are known by their names."""

    def __init__(self, seed):
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._nodes = []
        self._weights = []

    def node(self, operator, inputs, name, **attributes):
        """Adds a node that makes the value `name`."""
        self._nodes.append(helper.make_node(operator, inputs, [name], name=f"/{name}", **attributes))
        return name

    def constant(self, name, value):
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def fixed(self, name, value):
        """A value that is not trained, as that of an initializer would be."""
        return self.node("Constant", [], name, value=numpy_helper.from_array(np.asarray(value)))

    def uniform(self, name, shape, bound):
        """A weight of numbers from -bound to bound."""
        return self.constant(name, ((2 * self._random.random(shape) - 1) * bound).astype(np.float32))

    def gemm(self, name, src, inner, outer):
        """A linear layer of [batch, inner], He-initialized for ReLU."""
        weight = self.uniform(f"{name}.weight", (outer, inner), math.sqrt(6 / inner))
        bias = self.constant(f"{name}.bias", np.zeros(outer, np.float32))
        return self.node("Gemm", [src, weight, bias], name, transB=1)

    def matmul(self, name, src, inner, outer, gain=1.0):
        """A linear layer over the last axis of any shape."""
        weight = self.uniform(f"{name}.weight", (inner, outer), gain * math.sqrt(3 / inner))
        bias = self.constant(f"{name}.bias", np.zeros(outer, np.float32))
        return self.node("Add", [self.node("MatMul", [src, weight], f"{name}.product"), bias], name)

    def layer_norm(self, name, src, width):
        scale = self.constant(f"{name}.weight", np.ones(width, np.float32))
        shift = self.constant(f"{name}.bias", np.zeros(width, np.float32))
        return self.node("LayerNormalization", [src, scale, shift], name, axis=-1)

    def write(self, path, name, inputs, output):
        """`inputs` and `output` are (value, "float32" or "int64", dims after the batch)."""
        def describe(value, kind, dims):
            element = TensorProto.INT64 if kind == "int64" else TensorProto.FLOAT
            return helper.make_tensor_value_info(value, element, ["batch", *dims])

        graph = helper.make_graph(self._nodes, name, [describe(*value) for value in inputs], [describe(*output)],
                                  self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                  producer_name="topiary-studies")
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))
