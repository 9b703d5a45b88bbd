"""A study's own coordinator and workers (bench/studies/service.py), with real processes."""

import pathlib
import random
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from studies import ablations, block_pruning, catalog, cells, determinism, service


@pytest.fixture(scope="module", name="folder")
def fixture_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module", name="running")
def fixture_running(folder, binary):
    binary("//server:topiary-server")
    flags = ("--lease-duration=3s", "--report-interval=200ms")
    with service.Service(folder / "service", 2, flags, ("--checkpoint-interval=200ms",)) as running:
        yield running


@pytest.fixture(scope="module", name="spec")
def fixture_spec(folder, running):
    """A job on data that a small network can learn."""
    labels = np.random.default_rng(1).integers(0, 3, 300)
    inputs = np.random.default_rng(2).random((300, 12), np.float32) + labels[:, None].astype(np.float32)
    np.savez(folder / "train.npz", x=inputs, y=labels)
    catalog.make_model("model/mlp/12-32-3/seed4.onnx", folder / "model.onnx")
    return {
        "model": {"files": [{"path": "model.onnx", "digest": running.upload(folder / "model.onnx", "model")}]},
        "data": {"train": {"npz": {"digest": running.upload(folder / "train.npz", "data")}}},
        "task": {"epochs": 20, "batch_size": 20, "seed": 4},
        "target": {"sparsity": 0.5, "block_rows": 4, "block_cols": 4, "min_blocks": 10},
        "outputs": {"latency": False},
        "retry": {"max_attempts": 100, "initial_backoff": "0.1s", "maximum_backoff": "0.2s"},
    }


def test_a_job_becomes_a_row(running, spec):
    job, report = running.run_job(spec)
    row = cells.make_row("k", cells.Cell(task="t", method="m", seed=4, spec=spec, sparsity=0.5, block=4), job, report)
    assert row["state"] == "SUCCEEDED"
    assert row["metrics"]["accuracy"] > 0.5
    assert row["layers"] == {"0.weight": [12, 24], "2.weight": "dense"}
    assert row["determinism"]["threads"] == 1
    assert len(row["model"]) == 64


def test_a_job_that_fails_has_no_report_and_says_why(running, spec):
    job, report = running.run_job({**spec, "target": {**spec["target"], "min_blocks": 1000}})
    assert report is None
    row = cells.make_row("k", cells.Cell(task="t", method="m", seed=4, spec=spec), job, report)
    assert (row["state"], row["reason"]) == ("FAILED", "WORK_FAILED")
    assert "min_blocks" in row["error"]


def test_killed_workers_change_no_bit(running, spec):
    longer = {**spec, "task": {**spec["task"], "epochs": 4000}}
    job, _ = running.run_job(longer)
    with service.Killer(running, 0.3, seed=1) as killer:
        again, _ = running.run_job(longer)
    assert killer.kills > 0
    assert len(again["attempts"]) > 1
    models = [{file["kind"]: file["digest"] for file in found["result"]["files"]}["ONNX"] for found in (job, again)]
    assert models[0] == models[1]


def test_a_worker_that_is_killed_is_replaced(running, spec):
    running.kill_a_worker(random.Random(1))
    running.kill_a_worker(random.Random(2))
    running.check()
    assert running.run_job(spec)[1] is not None


class OneOfEach(dict):
    """The digests of one model and one data set, whatever the name."""

    def __init__(self, spec):
        super().__init__()
        self._model = spec["model"]["files"][0]["digest"]
        self._data = spec["data"]["train"]["npz"]["digest"]

    def __missing__(self, name):
        return self._model if name.startswith("model/") else self._data


def one_of_many(spec):
    """Specs that differ in numbers that no method looks at are as good as one."""
    same = {**spec, "task": {**spec["task"], "seed": 0, "learning_rate": {"base": 0.001}}}
    if "target" in spec:
        same["target"] = {**spec["target"], "sparsity": 0.9, "block_rows": 16, "block_cols": 16}
    return cells.canonical(same)


@pytest.mark.parametrize("study", [ablations.Ablations, block_pruning.BlockPruning, determinism.Determinism])
def test_the_service_accepts_every_spec(running, spec, study, tmp_path):
    digests = OneOfEach(spec)
    stages = [make() for make in study(tmp_path, digests).stages()]
    specs = {one_of_many(cells.resolve(cell.spec, digests)) for stage in stages for cell in stage.cells}
    assert len(specs) > 5
    for text in specs:
        running.validate(text)
