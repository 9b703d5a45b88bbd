"""The network of the experiments of Sequential Attention (2023): BatchNormalization of the raw features,
one hidden layer of 67 units with ReLU, a linear layer."""

import numpy as np

from studies.models import graphs

HIDDEN = 67


def make_selection_mlp(path, seed, widths):
    """`widths` is "INPUTS-CLASSES"; input "x", output [batch, classes] of logits."""
    inputs, classes = map(int, widths.split("-"))
    net = graphs.Graph(seed)
    statistics = [net.constant(f"norm.{name}", np.full(inputs, value, np.float32))
                  for name, value in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1))]
    value = net.node("BatchNormalization", ["x", *statistics], "norm", epsilon=1e-3, momentum=0.99)
    value = net.node("Relu", [net.gemm("hidden", value, inputs, HIDDEN)], "hidden.relu")
    net.gemm("logits", value, HIDDEN, classes)
    net.write(path, "selection_mlp", [("x", "float32", [inputs])], ("logits", "float32", [classes]))
