"""A small causal decoder: layers of attention and a feed-forward network, each after a LayerNormalization and
beside a residual sum. Weights are named "layers.N.query.weight" and so on."""

import math

import numpy as np

from studies.models import graphs

FEED_FORWARD = 4  # Times the width.


class Decoder(graphs.Graph):
    """Adds the parts of a decoder to a graph."""

    def __init__(self, seed, length, width, heads):
        super().__init__(seed)
        self._width, self._heads = width, heads
        # Constants, not initializers, which would be trained.
        self._mask = self.fixed("mask", np.triu(np.full((length, length), -1e9, np.float32), 1)[None, None])
        self._root = self.fixed("root", np.float32(math.sqrt(width // heads)))
        self._split = self.constant("split", np.array([0, 0, heads, width // heads], np.int64))
        self._joined = self.constant("joined", np.array([0, 0, width], np.int64))

    def _heads_of(self, name, src, perm):
        value = self.matmul(name, src, self._width, self._width)
        return self.node("Transpose", [self.node("Reshape", [value, self._split], f"{name}.split")], f"{name}.heads",
                         perm=perm)

    def attention(self, name, src):
        query = self._heads_of(f"{name}.query", src, [0, 2, 1, 3])
        key = self._heads_of(f"{name}.key", src, [0, 2, 3, 1])
        value = self._heads_of(f"{name}.value", src, [0, 2, 1, 3])
        scores = self.node("Div", [self.node("MatMul", [query, key], f"{name}.products"), self._root], f"{name}.scaled")
        scores = self.node("Add", [scores, self._mask], f"{name}.scores")
        weights = self.node("Softmax", [scores], f"{name}.weights", axis=-1)
        mixed = self.node("Transpose", [self.node("MatMul", [weights, value], f"{name}.mixed")], f"{name}.turned",
                          perm=[0, 2, 1, 3])
        joined = self.node("Reshape", [mixed, self._joined], f"{name}.joined")
        return self.matmul(f"{name}.out", joined, self._width, self._width, gain=0.5)

    def gelu(self, name, src):
        """x / 2 (1 + erf(x / sqrt(2))), as exporters write it."""
        scaled = self.node("Div", [src, self.fixed(f"{name}.root", np.float32(math.sqrt(2)))], f"{name}.scaled")
        one = self.node("Add", [self.node("Erf", [scaled], f"{name}.erf"), self.fixed(f"{name}.one", np.float32(1))],
                        f"{name}.sum")
        return self.node("Mul", [self.node("Mul", [src, one], f"{name}.product"), self.fixed(f"{name}.half", np.float32(0.5))],
                         name)

    def layer(self, name, src):
        attended = self.attention(name, self.layer_norm(f"{name}.norm1", src, self._width))
        src = self.node("Add", [src, attended], f"{name}.sum1")
        value = self.layer_norm(f"{name}.norm2", src, self._width)
        value = self.gelu(f"{name}.gelu", self.matmul(f"{name}.up", value, self._width, FEED_FORWARD * self._width))
        value = self.matmul(f"{name}.down", value, FEED_FORWARD * self._width, self._width, gain=0.5)
        return self.node("Add", [src, value], f"{name}.sum2")


def make_decoder(path, seed, shape):
    """`shape` is "VOCABULARY-LENGTH-LAYERS-WIDTH-HEADS"; input "ids", int64 [batch, length]; output
    [batch, length, vocabulary] of logits."""
    vocabulary, length, layers, width, heads = map(int, shape.split("-"))
    net = Decoder(seed, length, width, heads)
    tokens = net.node("Gather", [net.uniform("tokens", (vocabulary, width), 0.1), "ids"], "embedded")
    value = net.node("Add", [tokens, net.uniform("places", (length, width), 0.1)], "input")
    for i in range(layers):
        value = net.layer(f"layers.{i}", value)
    net.matmul("logits", net.layer_norm("norm", value, width), width, vocabulary)
    net.write(path, "decoder", [("ids", "int64", [length])], ("logits", "float32", [length, vocabulary]))
