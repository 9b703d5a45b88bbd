"""predict.py, and with it the C interface of the runtime, on what a job has made."""

import pathlib
import subprocess

import numpy
import onnxruntime
import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def pruned(binary, tmp_path_factory):
    """A folder with data.npz and the result of a job that pruned an MLP to a tenth of its blocks."""
    folder = tmp_path_factory.mktemp("pruned")
    topiary = binary("//client/cli:topiary")
    rng = numpy.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    x = rng.normal(size=(600, 64)).astype(numpy.float32) + y[:, None].astype(numpy.float32)
    numpy.savez(folder / "data.npz", x=x, y=y)
    subprocess.run([topiary, "model", "new", "mlp", folder / "new.onnx", "--input-shape=64",
                    "--hidden=256", "--classes=3"], check=True)
    subprocess.run([topiary, "run", "--model", folder / "new.onnx", "--train", folder / "data.npz",
                    "--sparsity=0.9", "--block=8x16", "--epochs=4", "--threads=1", "--download",
                    folder / "result", "--server-binary", binary("//server:topiary-server"),
                    "--worker-binary", binary("//worker:topiary-worker")], check=True, timeout=240)
    return folder


def predict(binary, *flags):
    return subprocess.run(
        [HERE / "predict.py", "--library", binary("//worker/runtime:libtopiary_runtime.so"),
         "--threads=1", *flags], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("file", ["model.safetensors", "model.onnx"])
def test_it_predicts_what_onnx_runtime_predicts(binary, pruned, file):
    done = predict(binary, "--model", pruned / "result" / file, "--data", pruned / "data.npz",
                   "--batch=64")
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(str(pruned / "result/model.onnx"),
                                           providers=["CPUExecutionProvider"])
    data = numpy.load(pruned / "data.npz")["x"]
    (scores,) = session.run(None, {session.get_inputs()[0].name: data})
    assert [int(word) for word in done.stdout.split()] == scores.argmax(axis=1).tolist()
    assert "a batch of 64" in done.stderr


def test_what_is_no_model_is_refused_with_the_reason(binary, pruned):
    done = predict(binary, "--model", pruned / "data.npz", "--data", pruned / "data.npz")
    assert done.returncode != 0
    assert "data.npz" in done.stderr and "Traceback" not in done.stderr
