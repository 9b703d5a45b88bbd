"""Real data, as a newcomer brings them: Fashion-MNIST from Debian's package, gzipped IDX files."""

import json
import pathlib
import subprocess

import pytest


@pytest.fixture(scope="module")
def images():
    """The folder of the package dataset-fashion-mnist."""
    files = subprocess.run(["dpkg", "-L", "dataset-fashion-mnist"], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    return next(pathlib.Path(path).parent for path in files if "train-images" in path)


@pytest.mark.parametrize("method, least", [("sequential_attention_pp", 0.80), ("magnitude", 0.80)])
def test_a_network_learns_and_stays_accurate_when_pruned(binary, images, tmp_path, method, least):
    topiary = binary("//client/cli:topiary")
    model = tmp_path / "model.onnx"
    subprocess.run([topiary, "model", "new", "mlp", model, "--hidden", "256,128"], check=True)

    def pair(prefix):
        found = [next(images.glob(f"{prefix}-{kind}*")) for kind in ("images", "labels")]
        return ",".join(str(path) for path in found)

    done = subprocess.run(
        [topiary, "--output", "json", "run", "--model", model, "--train", pair("train"), "--eval",
         pair("t10k"), "--divide-by", "255", "--method", method, "--sparsity", "0.8", "--epochs",
         "2", "--optimizer", "adamw", "--threads", "1", "--download", tmp_path / "result",
         "--server-binary", binary("//server:topiary-server"), "--worker-binary",
         binary("//worker:topiary-worker")],
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "result/report.json").read_text())
    assert report["metrics"]["pruned"]["accuracy"] > least
    assert report["sparsity"]["reached"] > 0.75
