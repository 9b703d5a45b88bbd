"""The closing lines of tools/demo: a figure that is not good enough fails it, by name."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def summarize(repo, tmp_path):
    """Runs the script on jobs that are all just good enough, but for what is given."""

    def run(dense=0.905, sa_pp=0.890, magnitude=0.893, sparsity=0.85, pruned_bytes=35):
        results = {"dense": {"dense_metrics": {"accuracy": dense}},
                   "sa_pp": {"pruned_metrics": {"accuracy": sa_pp}, "sparsity_requested": 0.9,
                             "sparsity_reached": sparsity},
                   "magnitude": {"pruned_metrics": {"accuracy": magnitude}}}
        for name, result in results.items():
            (tmp_path / f"{name}.json").write_text(json.dumps({
                "start_time": "2024-05-01T10:00:00.5Z", "end_time": "2024-05-01T10:02:00Z",
                "result": result}))
            (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / "dense/model.onnx").write_bytes(bytes(100))
        (tmp_path / "sa_pp/model.safetensors").write_bytes(bytes(pruned_bytes))
        done = subprocess.run([sys.executable, repo / "tools/demo_summary.py", tmp_path],
                              capture_output=True, text=True, check=False)
        assert (tmp_path / "summary.json").exists(), done.stderr
        return done.returncode, [line for line in done.stdout.splitlines()
                                 if line.startswith("missed")]

    return run


def test_figures_that_are_just_good_enough_pass(summarize):
    assert summarize() == (0, [])


@pytest.mark.parametrize("figures, words", [
    ({"dense": 0.9049}, ["dense_accuracy", "0.9049", "0.9050"]),
    ({"sa_pp": 0.8899, "magnitude": 0.5}, ["sa_pp_accuracy", "0.8899", "dense_accuracy less"]),
    ({"magnitude": 0.8931}, ["sa_pp_accuracy", "magnitude_accuracy less"]),
    ({"sparsity": 0.8499}, ["sparsity_reached", "0.8499", "0.8500"]),
    ({"pruned_bytes": 36}, ["checkpoint_bytes", "36", "35"]),
    ({"sparsity": float("nan")}, ["sparsity_reached", "nan"]),
])
def test_a_figure_that_is_not_fails_by_name(summarize, figures, words):
    status, (line,) = summarize(**figures)
    assert status == 1
    assert all(word in line for word in words), line


def test_all_that_is_missed_is_said(summarize):
    status, lines = summarize(dense=0.5, sa_pp=0.1, sparsity=0.1, pruned_bytes=99)
    assert status == 1
    assert len(lines) == 5
