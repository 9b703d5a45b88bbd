#!/usr/bin/env python3
"""Makes the files beside it with PyTorch. Run in a virtual environment with torch, onnx, onnxscript and numpy."""
import copy
import pathlib

import numpy as np
import onnx
import torch
from torch import nn

FOLDER = pathlib.Path(__file__).parent


class Residual(nn.Module):
    """A stem, one residual block with a projection, and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.conv1, self.bn1 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.down = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d(1), nn.Dropout(0.1), nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x)
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        y = torch.relu(y + self.down(x))
        y = self.pool(y)
        return self.head(self.drop(y.view(y.size(0), -1)))


def without_traces(path):
    """Takes away what names the machine of the export: stack traces and the like."""
    model = onnx.load(path, load_external_data=False)
    for item in [model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer,
                 *model.graph.input, *model.graph.output]:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
    path.write_bytes(model.SerializeToString())


def main():
    torch.manual_seed(0)
    model = Residual()
    for _ in range(20):  # Running statistics that are not those of the start.
        model(torch.randn(16, 1, 8, 8) * 2 + 1)
    with torch.no_grad():  # The first block's scales stay equal, so that the exporter shares them.
        model.bn1.running_mean.copy_(model.bn2.running_mean)
    x = torch.randn(5, 1, 8, 8)
    expected = {"x": x.numpy(), "dynamo": model.eval()(x).detach().numpy()}
    torch.onnx.export(model.eval(), (x,), FOLDER / "torch_dynamo.onnx", dynamo=True, external_data=True,
                      input_names=["x"], output_names=["y"], dynamic_shapes=({0: torch.export.Dim("batch")},))
    for name, mode in (("training", torch.onnx.TrainingMode.TRAINING), ("preserve", torch.onnx.TrainingMode.PRESERVE)):
        exported = copy.deepcopy(model).train(name == "training")
        torch.onnx.export(exported, (x,), FOLDER / f"torch_{name}.onnx", dynamo=False, opset_version=17, training=mode,
                          do_constant_folding=False, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
        # The trace of a model in training mode moves its running statistics.
        expected[name] = exported.eval()(x).detach().numpy()
    np.savez(FOLDER / "expected.npz", **expected)
    for path in FOLDER.glob("torch_*.onnx"):
        without_traces(path)


if __name__ == "__main__":
    main()
