#!/usr/bin/env python3
"""Makes NETWORK.onnx and NETWORK.safetensors: networks as PyTorch exports them, and how PyTorch trains them.

Run by hand, in this folder, where PyTorch (2.x) and onnx are installed; the files are committed.
Tensors: inputs/NAME, labels, output of the first step; losses/OPTIMIZER (one per step);
gradients/NAME of the first step; OPTIMIZER/NAME, each parameter and running statistic after STEPS
steps on the same batch.
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


class Block(nn.Module):
    """A layer of a decoder: attention in single steps, as exporters write it, LayerNorm and Gelu."""

    def __init__(self, d, heads, ffn):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.up, self.down = nn.Linear(d, ffn), nn.Linear(ffn, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x):
        b, s, d = x.shape

        def split(t):
            return t.view(b, s, self.heads, d // self.heads).transpose(1, 2)

        scores = split(self.q(x)) @ split(self.k(x)).transpose(-1, -2) / (d // self.heads) ** 0.5
        scores = scores + torch.full((s, s), -1e9).triu(1)
        y = (torch.softmax(scores, -1) @ split(self.v(x))).transpose(1, 2).reshape(b, s, d)
        x = self.norm1(x + self.o(y))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class SmallDecoder(nn.Module):
    """Next-token logits at each position."""

    def __init__(self, vocabulary=11, d=8, length=5):
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, d), nn.Parameter(torch.randn(length, d))
        self.block = Block(d, 2, 12)
        self.head = nn.Linear(d, vocabulary)

    def forward(self, ids):
        return self.head(self.block(self.token(ids) + self.position))


class SmallClickModel(nn.Module):
    """Numbers beside ids, a table for each column of them."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, 4) for rows in (5, 7))
        self.hidden, self.head = nn.Linear(3 + 2 * 4, 6), nn.Linear(6, 1)

    def forward(self, numbers, ids):
        columns = [table(ids[:, i]) for i, table in enumerate(self.tables)]
        return self.head(F.relu(self.hidden(torch.cat([numbers] + columns, 1)))).squeeze(1)


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
        dtype = {"float32": "F32", "int32": "I32", "int64": "I64"}[str(value.dtype)]
        header[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def cross_entropy(output, labels):
    return F.cross_entropy(output.flatten(0, -2), labels.flatten())


# name: (network, inputs, labels, loss, optimizers)
NETWORKS = {
    "small_network": (SmallNetwork, {"input": lambda: torch.randn(6, 2, 8, 8)},
                      lambda: torch.randint(0, 5, (6,)), cross_entropy, list(OPTIMIZERS)),
    "small_decoder": (SmallDecoder, {"ids": lambda: torch.randint(0, 11, (3, 5))},
                      lambda: torch.randint(0, 11, (3, 5)), cross_entropy, ["momentum", "adamw"]),
    "small_click_model": (SmallClickModel,
                          {"numbers": lambda: torch.randn(6, 3),
                           "ids": lambda: torch.stack([torch.randint(0, n, (6,)) for n in (5, 7)], 1)},
                          lambda: torch.randint(0, 2, (6,)).float(), F.binary_cross_entropy_with_logits,
                          ["momentum", "adamw"]),
}


def make(name):
    torch.manual_seed(1)
    network, make_inputs, make_labels, loss_of, optimizers = NETWORKS[name]
    model = network().train()
    with torch.no_grad():  # Initial values that differ from one another, so that none is exported once for several.
        for key, value in list(model.named_parameters()) + list(model.named_buffers()):
            if "norm" in key and value.dim() == 1:
                value.add_(0.1 * torch.rand_like(value))
    inputs, labels = {key: draw() for key, draw in make_inputs.items()}, make_labels()
    # The exporter runs the model once, which moves its running statistics: train from where it left them.
    torch.onnx.export(model, tuple(inputs.values()), f"{name}.onnx", input_names=list(inputs),
                      output_names=["output"], dynamo=False, opset_version=17,
                      training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
                      dynamic_axes={key: {0: "batch"} for key in [*inputs, "output"]})
    tensors = {f"inputs/{key}": value.numpy() for key, value in inputs.items()}
    tensors["labels"] = (labels if labels.is_floating_point() else labels.to(torch.int32)).numpy()
    for key in optimizers:
        net = copy.deepcopy(model)
        optimizer, losses = OPTIMIZERS[key](net.parameters()), []
        for step in range(STEPS):
            optimizer.zero_grad()
            output = net(*inputs.values())
            loss = loss_of(output, labels)
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                tensors["output"] = output.detach().numpy().copy()
                tensors.update({f"gradients/{n}": p.grad.numpy().copy() for n, p in net.named_parameters()})
            optimizer.step()
        tensors[f"losses/{key}"] = np.array(losses, np.float32)
        for n, value in net.state_dict().items():
            if value.dtype == torch.float32:
                tensors[f"{key}/{n}"] = value.numpy().copy()
    write_safetensors(f"{name}.safetensors", tensors)


if __name__ == "__main__":
    for network_name in NETWORKS:
        make(network_name)
