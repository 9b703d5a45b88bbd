"""Structures pruned through the service: ONNX Runtime computes with the narrower model what it does with the pruned one."""

import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

DECODER = Path(__file__).parents[2] / "worker/engine/testing/pytorch/small_decoder.onnx"


@pytest.fixture(scope="module")
def topiary(binary):
    """Runs the command line."""

    def call(*arguments):
        arguments = [str(argument) for argument in arguments]
        if arguments[0] == "run":
            arguments += ["--server-binary", str(binary("//server:topiary-server")),
                          "--worker-binary", str(binary("//worker:topiary-worker")), "--threads", "1"]
        done = subprocess.run([binary("//client/cli:topiary"), "--output", "json", *arguments],
                              capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def shapes_of(path):
    return {tensor.name: list(tensor.dims) for tensor in onnx.load(path).graph.initializer}


def outputs_of(path, values):
    session = onnxruntime.InferenceSession(str(path))
    return session.run(None, {session.get_inputs()[0].name: values})[0]


def check_result(folder, values):
    """The report; both models are valid, and compute the same."""
    for name in ("model.onnx", "model.shrunk.onnx"):
        onnx.checker.check_model(str(folder / name), full_check=True)
    wanted = outputs_of(folder / "model.onnx", values)
    np.testing.assert_allclose(outputs_of(folder / "model.shrunk.onnx", values), wanted,
                               rtol=1e-4, atol=1e-5)
    assert not (folder / "model.safetensors").exists()  # There are no blocks.
    return json.loads((folder / "report.json").read_text())


def test_channels_of_a_lenet(topiary, tmp_path):
    random = np.random.default_rng(1)
    images = random.random((300, 1, 16, 16), dtype=np.float32)
    labels = random.integers(0, 4, 300)
    images[np.arange(300), 0, labels, labels] += 3
    np.savez(tmp_path / "data.npz", x=images, y=labels)
    topiary("model", "new", "lenet", tmp_path / "new.onnx", "--input-shape", "1,16,16", "--classes", 4)
    topiary("run", "--model", tmp_path / "new.onnx", "--train", tmp_path / "data.npz", "--sparsity", 0.5,
            "--structure", "channels", "--epochs", 4, "--batch", 50, "--optimizer", "adamw",
            "--download", tmp_path / "result")
    report = check_result(tmp_path / "result", images)
    groups = [group for group in report["groups"] if "dense_reason" not in group]
    assert len(groups) == 2
    before, after = (shapes_of(tmp_path / "result" / name)
                     for name in ("model.onnx", "model.shrunk.onnx"))
    for group in groups:
        assert group["live"] == group["candidates"] // 2
        assert before[group["name"]][0] == group["candidates"]
        assert after[group["name"]][0] == group["live"]
    assert report["shrunk"]["parameters"]["after"] < report["shrunk"]["parameters"]["before"]
    assert all(entry["shrunk"]["p50_seconds"] > 0 for entry in report["latency"])


def test_heads_of_a_decoder(topiary, tmp_path):
    ids = np.random.default_rng(2).integers(0, 11, (48, 5))
    np.savez(tmp_path / "data.npz", x=ids, y=ids)
    topiary("run", "--model", DECODER, "--train", tmp_path / "data.npz", "--sparsity", 0.5,
            "--structure", "heads", "--epochs", 4, "--batch", 12, "--download", tmp_path / "result")
    report = check_result(tmp_path / "result", ids)
    assert [(group["candidates"], group["live"]) for group in report["groups"]] == [(2, 1)]
    assert shapes_of(tmp_path / "result/model.shrunk.onnx")["block.q.weight"] == [4, 8]
