#!/usr/bin/env python3
"""Makes small_network.onnx and small_network.safetensors: a network as PyTorch exports it, and how PyTorch trains it.

Run by hand where PyTorch (2.x) and onnx are installed; the files are committed.
Tensors: inputs, labels; losses/OPTIMIZER (one per step); gradients/NAME of the first step;
OPTIMIZER/NAME, each parameter and running statistic after STEPS steps on the same batch.
"""
import copy
import json
import struct

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

STEPS = 4


class SmallNetwork(nn.Module):
    """Every part that is trained in a way of its own: residual sums, strides, groups, both poolings."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(2, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.conv1, self.norm1 = nn.Conv2d(6, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, 1, 1, groups=2, bias=False), nn.BatchNorm2d(8)
        self.down, self.down_norm = nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.stem_norm(self.stem(x)))
        x = F.max_pool2d(x, 3, 1, 1)
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        x = F.relu(y + self.down_norm(self.down(x)))
        x = F.relu(self.last(x))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=1e-1),
}


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, value in tensors.items():
        data = np.ascontiguousarray(value).tobytes()
        dtype = {"float32": "F32", "int32": "I32"}[str(value.dtype)]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def main():
    torch.manual_seed(1)
    model = SmallNetwork().train()
    with torch.no_grad():  # Initial values that differ from one another, so that none is exported once for several.
        for name, value in list(model.named_parameters()) + list(model.named_buffers()):
            if "norm" in name and value.dim() == 1:
                value.add_(0.1 * torch.rand_like(value))
    inputs, labels = torch.randn(6, 2, 8, 8), torch.randint(0, 5, (6,))
    # The exporter runs the model once, which moves its running statistics: train from where it left them.
    torch.onnx.export(model, (inputs,), "small_network.onnx", input_names=["input"],
                      output_names=["output"], dynamo=False, opset_version=17,
                      training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
                      dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}})
    tensors = {"inputs": inputs.numpy(), "labels": labels.to(torch.int32).numpy()}
    for name, make in OPTIMIZERS.items():
        net = copy.deepcopy(model)
        optimizer, losses = make(net.parameters()), []
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                tensors.update({f"gradients/{n}": p.grad.numpy().copy() for n, p in net.named_parameters()})
            optimizer.step()
        tensors[f"losses/{name}"] = np.array(losses, np.float32)
        for n, value in net.state_dict().items():
            if value.dtype == torch.float32:
                tensors[f"{name}/{n}"] = value.numpy().copy()
    write_safetensors("small_network.safetensors", tensors)


if __name__ == "__main__":
    main()
