"""A study's own coordinator and workers (bench/studies/service.py), with real processes."""

import concurrent.futures
import pathlib
import sys
import time

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from studies import (ablations, block_pruning, catalog, cells, determinism, feature_selection, fisher_attention, service,
                     transformer)


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


def wait_for_steps(running):
    """Until a job has trained; there is nothing to be notified by."""
    while not any(int(job.get("progress", {}).get("step", 0)) > 0 for job in running.running_jobs()):
        time.sleep(0.05)


def test_killed_workers_change_no_bit(running, spec):
    longer = {**spec, "task": {**spec["task"], "epochs": 3000}}
    job, _ = running.run_job(longer)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(running.run_job, longer)
        wait_for_steps(running)
        running.kill_worker(0)
        running.kill_worker(1)
        again, _ = future.result()
    assert len(again["attempts"]) > 1
    models = [{file["kind"]: file["digest"] for file in found["result"]["files"]}["ONNX"] for found in (job, again)]
    assert models[0] == models[1]


class CountedKills:
    """A service whose workers are only counted as killed."""

    def __init__(self):
        self.killed = []

    def kill_worker(self, index):
        self.killed.append(index)


def test_workers_are_killed_in_turn_and_not_without_end():
    counted = CountedKills()
    with service.Killer(counted, 1e-6, most=5, seed=1) as killer:
        while killer.kills < 5:
            time.sleep(0.001)
    assert counted.killed == [0, 1, 2, 3, 4]


def test_a_worker_that_is_killed_is_replaced(running, spec):
    for index in range(3):
        running.kill_worker(index)
    running.check()
    assert running.run_job(spec)[1] is not None


class OneOfEach(dict):
    """The digests of one model and one data set, whatever the name."""

    def __init__(self, spec):
        super().__init__()
        self._model = spec["model"]["files"][0]["digest"]
        self._data = spec["data"]["train"]["npz"]["digest"]

    def __missing__(self, name):
        return self._data if name.startswith("data/") else self._model


def one_of_many(spec):
    """Specs that differ in numbers that no method looks at are as good as one."""
    same = {**spec, "task": {**spec["task"], "seed": 0}}
    if "learning_rate" in spec["task"]:
        same["task"]["learning_rate"] = {"base": 0.001}
    if "target" in spec:
        same["target"] = {**spec["target"], "sparsity": 0.9}
    if "block_rows" in spec.get("target", {}):
        same["target"] |= {"block_rows": 16, "block_cols": 16}
    return cells.canonical(same)


def specs_of(study, stage_count=2):
    stages = [make() for make in study.stages()[-stage_count:]]
    return [cell.spec for stage in stages for cell in stage.cells]


def test_the_service_accepts_every_spec(running, spec, tmp_path):
    digests = OneOfEach(spec)
    found = [*specs_of(block_pruning.BlockPruning(tmp_path, digests), 1),
             *specs_of(block_pruning.BlockPruning(tmp_path, digests, ["isolet_mlp"])),
             *specs_of(ablations.Ablations(tmp_path, digests, ["isolet_mlp"]), 1),
             *specs_of(determinism.Determinism(tmp_path, digests), 1),
             *specs_of(fisher_attention.FisherAttention(tmp_path, digests, ["isolet_mlp"]), 1),
             *specs_of(feature_selection.FeatureSelection(tmp_path, digests)),
             *specs_of(transformer.Transformer(tmp_path, digests))]
    specs = {one_of_many(cells.resolve(one, digests)) for one in found}
    assert len(specs) > 80
    for text in specs:
        running.validate(text)
