"""The click model of the SequentialAttention++ paper: 39 fields, each embedded to 10 numbers, and three
layers of 400, of which the first, 390x400, is the one to prune (layer "first")."""

from studies.datasets import clicks
from studies.models import graphs

WIDTH, HIDDEN = 10, 400


def make_click_model(path, seed):
    """Input "ids", int64 [batch, 39], rows of the table of all fields; output [batch, 1], a logit."""
    net = graphs.Graph(seed)
    table = net.uniform("table", (clicks.TABLE_ROWS, WIDTH), 0.1)
    value = net.node("Flatten", [net.node("Gather", [table, "ids"], "embedded")], "flat", axis=1)
    inner = clicks.FIELDS * WIDTH
    for name in ("first", "second", "third"):
        value = net.node("Relu", [net.gemm(name, value, inner, HIDDEN)], f"{name}.relu")
        inner = HIDDEN
    net.gemm("logit", value, inner, 1)
    net.write(path, "clicks", [("ids", "int64", [clicks.FIELDS])], ("logit", "float32", [1]))
