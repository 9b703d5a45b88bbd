"""The Python client against a real coordinator and worker (see conftest.py for the binaries)."""

import os
import pathlib
import subprocess

import numpy
import onnx
import pytest

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def python_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example_stubs")
    subprocess.run([HERE / "make_stubs", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def server(service):
    """The address of a coordinator with one worker."""
    return service["address"]


def make_inputs(binary, folder):
    """A small MLP with a layer of 100 blocks, and data of two classes that it can tell apart."""
    model = folder / "m.onnx"
    subprocess.run([binary("//client/cli:topiary"), "model", "new", "mlp", model,
                    "--input-shape=16", "--hidden=160,160", "--classes=2"], check=True)
    rng = numpy.random.default_rng(0)
    y = rng.integers(0, 2, 512)
    x = rng.normal(size=(512, 16)).astype(numpy.float32) + 2 * y[:, None].astype(numpy.float32)
    numpy.savez(folder / "d.npz", x=x, y=y)
    return model, folder / "d.npz"


def run_client(server, python_path, *flags):
    return subprocess.run(
        [HERE / "compress.py", f"--server={server}", *flags],
        env={**os.environ, "PYTHONPATH": str(python_path)}, capture_output=True, text=True,
        timeout=240, check=False)


def test_it_fits_on_a_page():
    assert len((HERE / "compress.py").read_text().splitlines()) <= 100


def test_it_submits_watches_and_downloads(binary, server, python_path, tmp_path):
    model, data = make_inputs(binary, tmp_path)
    done = run_client(server, python_path, f"--model={model}", f"--train={data}",
                      "--sparsity=0.5", "--epochs=4", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "JOB_STATE_SUCCEEDED" in done.stdout
    onnx.checker.check_model(onnx.load(str(tmp_path / "out" / "model.onnx")))
    assert (tmp_path / "out" / "report.json").exists()


def test_a_refused_job_says_why(binary, server, python_path, tmp_path):
    model, data = make_inputs(binary, tmp_path)
    done = run_client(server, python_path, f"--model={model}", f"--train={data}",
                      "--sparsity=1.5", f"--out={tmp_path / 'out'}")
    assert done.returncode != 0
    assert "INVALID_ARGUMENT" in done.stderr
