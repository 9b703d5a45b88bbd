#!/usr/bin/env python3
"""The PyTorch side of the side-by-side benchmarks.

Defines the reference models once, so that both sides do the same work:
  torch_peer.py export MODEL OUT.onnx     writes the model (random weights, fixed seed) as ONNX, batch axis dynamic
  torch_peer.py step MODEL [--threads N] [--batch B] [--device cpu|cuda] [--compile] [--bf16]
                                          times one training step; prints one JSON line
  torch_peer.py infer MODEL [...]         times one forward pass in eval mode; prints one JSON line
  torch_peer.py serve MODEL --batch-file PREFIX [...]
                                          writes its batch to PREFIX.inputs and PREFIX.labels (raw bytes), takes three steps, prints one
                                          JSON line with the batch size, the loss and its name; then answers each line "step N" on
                                          standard input by N steps and one JSON line with their mean duration
A step is zero_grad, forward, loss, backward, SGD with momentum 0.9. `ms` is the minimum and `ms_median` the median over --reps; `peak_rss_over_start_mib` is the peak resident size less that before the model is built.
"""
import argparse
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class BasicBlock(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        skip = x if self.down is None else self.down(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + skip)


class Bottleneck(nn.Module):
    def __init__(self, cin, width, stride):
        super().__init__()
        cout = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(cin, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, cout, 1, bias=False), nn.BatchNorm2d(cout)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        skip = x if self.down is None else self.down(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + skip)


def resnet20():
    layers, cin = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for cout, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range(3):
            layers.append(BasicBlock(cin, cout, stride if i == 0 else 1))
            cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def resnet50():
    layers, cin = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            layers.append(Bottleneck(cin, width, stride if i == 0 else 1))
            cin = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class Ctr(nn.Module):
    """Criteo-shaped click model: 13 numeric columns, 26 categorical columns of 100,000 ids, embeddings of 16."""

    def __init__(self, vocab=100_000, dim=16):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(vocab, dim) for _ in range(26))
        self.mlp = nn.Sequential(nn.Linear(13 + 26 * dim, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, dense, ids):
        columns = [table(ids[:, i]) for i, table in enumerate(self.tables)]
        return self.mlp(torch.cat([dense] + columns, dim=1)).squeeze(1)


class Block(nn.Module):
    def __init__(self, d, heads, ffn, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.q, self.k, self.v, self.o = (nn.Linear(d, d) for _ in range(4))
        self.up, self.dn = nn.Linear(d, ffn), nn.Linear(ffn, d)
        self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x):
        b, s, d = x.shape
        split = lambda t: t.view(b, s, self.heads, d // self.heads).transpose(1, 2)
        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        scores = q @ k.transpose(-1, -2) / (d // self.heads) ** 0.5
        if self.causal:
            scores = scores + torch.full((s, s), -1e9, device=x.device).triu(1)
        y = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(b, s, d)
        x = self.ln1(x + self.o(y))
        return self.ln2(x + self.dn(F.gelu(self.up(x))))


class Transformer(nn.Module):
    """Encoder (classifier on the first token) or causal decoder (next-token logits)."""

    def __init__(self, layers, d, heads, ffn, vocab, seq, classes=None, causal=False):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Parameter(torch.randn(seq, d) * 0.02)
        self.blocks = nn.Sequential(*[Block(d, heads, ffn, causal) for _ in range(layers)])
        self.head, self.causal = nn.Linear(d, vocab if causal else classes), causal

    def forward(self, ids):
        x = self.blocks(self.tok(ids) + self.pos)
        return self.head(x if self.causal else x[:, 0])


def _mlp(*dims):
    layers = []
    for i in range(len(dims) - 1):
        layers += [nn.Linear(dims[i], dims[i + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _image(shape):
    return lambda b: (torch.randn(b, *shape),)


def _ids(vocab, seq):
    return lambda b: (torch.randint(0, vocab, (b, seq)),)


def _classes(n):
    return lambda b: torch.randint(0, n, (b,))


def _ce(out, y):
    return F.cross_entropy(out.flatten(0, -2) if out.dim() == 3 else out, y.flatten())


# name: (constructor, inputs(batch), labels(batch), loss, default batch)
MODELS = {
    "mlp": (lambda: _mlp(784, 1024, 1024, 10), _image((784,)), _classes(10), _ce, 256),
    "sa_mlp": (lambda: _mlp(784, 67, 10), _image((784,)), _classes(10), _ce, 64),
    "resnet20": (resnet20, _image((3, 32, 32)), _classes(10), _ce, 128),
    "resnet50": (resnet50, _image((3, 224, 224)), _classes(1000), _ce, 8),
    "ctr": (Ctr, lambda b: (torch.randn(b, 13), torch.randint(0, 100_000, (b, 26))),
            lambda b: torch.randint(0, 2, (b,)).float(), F.binary_cross_entropy_with_logits, 2048),
    "encoder": (lambda: Transformer(6, 384, 12, 1536, 30522, 128, classes=2), _ids(30522, 128), _classes(2), _ce, 16),
    "decoder": (lambda: Transformer(4, 512, 8, 2048, 8192, 128, causal=True), _ids(8192, 128),
                lambda b: torch.randint(0, 8192, (b, 128)), _ce, 8),
}


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("action", choices=("export", "step", "infer", "serve"))
    p.add_argument("model", choices=MODELS)
    p.add_argument("out", nargs="?")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int)
    p.add_argument("--batch-file")
    p.add_argument("--reps", type=int, default=10)
    p.add_argument("--device", default="cpu")
    p.add_argument("--compile", action="store_true")
    p.add_argument("--bf16", action="store_true")
    return p.parse_args()


def export(model, x, out):
    names = [f"input{i}" for i in range(len(x))]
    torch.onnx.export(model.train(), x, out, input_names=names, output_names=["output"], dynamo=False,
                      opset_version=17, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False,
                      dynamic_axes={n: {0: "batch"} for n in names + ["output"]})


def make_run(a, model, x, y, loss_fn):
    """A function that does one step (or, for infer, one forward pass) and returns its loss."""
    if any(t.dim() == 4 for t in x):  # PyTorch's own advice for convolutions on both devices
        model, x = model.to(memory_format=torch.channels_last), [t.to(memory_format=torch.channels_last) for t in x]
    opt = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    if a.compile:
        model = torch.compile(model)
    model.train(a.action != "infer")

    def run():
        with torch.autocast(a.device, torch.bfloat16, enabled=a.bf16):
            if a.action == "infer":
                with torch.no_grad():
                    return model(*x)
            opt.zero_grad(set_to_none=True)
            loss = loss_fn(model(*x), y)
        loss.backward()
        opt.step()
        return loss

    return run


LOSS_NAMES = {True: "cross_entropy", False: "binary_cross_entropy"}


def measure(a, run, batch, loss_name, start_rss):
    def sync():
        if a.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        run()
    times = []
    for _ in range(a.reps):
        sync()
        t = time.perf_counter()
        run()
        sync()
        times.append(time.perf_counter() - t)
    best, median = min(times), statistics.median(times)
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peer": f"torch {torch.__version__}" + (" compiled" if a.compile else ""), "model": a.model,
                      "action": a.action, "batch": batch, "loss_name": loss_name, "threads": a.threads, "device": a.device, "ms": round(best * 1e3, 3), "ms_median": round(median * 1e3, 3),
                      "samples_per_s": round(batch / best, 1),
                      "peak_rss_mib": peak_rss // 1024, "peak_rss_over_start_mib": (peak_rss - start_rss) // 1024}))


def serve(a, run, x, y, batch, loss_fn):
    if a.batch_file:
        with open(a.batch_file + ".inputs", "wb") as f:
            for t in x:
                f.write(t.contiguous().numpy().tobytes())
        with open(a.batch_file + ".labels", "wb") as f:
            f.write((y if y.is_floating_point() else y.to(torch.int32)).numpy().tobytes())
    losses = [run().item() for _ in range(3)]
    print(json.dumps({"peer": f"torch {torch.__version__}", "batch": batch, "loss": losses[0],
                      "loss_name": LOSS_NAMES[loss_fn is _ce]}), flush=True)
    for line in sys.stdin:
        command, steps = line.split()
        if command != "step":
            sys.exit(f"unknown command: {command}")
        t = time.perf_counter()
        for _ in range(int(steps)):
            run()
        print(json.dumps({"seconds": (time.perf_counter() - t) / int(steps)}), flush=True)


def main():
    a = parse_arguments()
    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    start_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make, inputs, labels, loss_fn, batch = MODELS[a.model]
    batch = a.batch or batch
    model, x, y = make(), inputs(batch), labels(batch)
    if a.action == "export":
        export(model, x, a.out)
        return
    model, x, y = model.to(a.device), [t.to(a.device) for t in x], y.to(a.device)
    run = make_run(a, model, x, y, loss_fn)
    if a.action == "serve":
        serve(a, run, x, y, batch, loss_fn)
    else:
        measure(a, run, batch, LOSS_NAMES[loss_fn is _ce], start_rss)


if __name__ == "__main__":
    sys.exit(main())
