"""The harness of the studies (bench/studies) without a service: keys, resuming, tuning, statistics, plots."""

import dataclasses
import itertools
import json
import math
import pathlib
import sys
import xml.etree.ElementTree

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from studies import (artifacts, block_pruning, cells, datasets, documents, fisher_attention, methods, paired_tests,
                     running, service, svg, tables, tasks, tuning)
from studies.rows import Rows

DIGESTS = {"data/d/train.npz": "a" * 64, "model/m/seed0.onnx": "b" * 64}
SPEC = {"model": {"files": [{"digest": "@model/m/seed0.onnx"}]}, "data": {"train": {"npz": {"digest": "@data/d/train.npz"}}}}


def make_cell(seed=0, run="", **more):
    return cells.Cell(task="t", method="m", seed=seed, spec={**SPEC, "task": {"seed": seed}, **more}, run=run)


# ---- Keys -----------------------------------------------------------------------------------------


def test_a_key_tells_specs_data_and_runs_apart_and_nothing_else():
    key = cells.key_of(make_cell(), DIGESTS)
    turned = cells.Cell(task="other", method="other", seed=9, spec=dict(reversed(make_cell().spec.items())))
    assert cells.key_of(turned, DIGESTS) == key
    others = [cells.key_of(make_cell(seed=1), DIGESTS), cells.key_of(make_cell(run="again"), DIGESTS),
              cells.key_of(make_cell(), {**DIGESTS, "data/d/train.npz": "c" * 64})]
    assert len({key, *others}) == 4


def test_a_cell_whose_data_are_not_there_yet_has_no_key():
    assert cells.key_of(make_cell(), {}) is None


def test_references_are_found_and_resolved_at_any_depth():
    assert sorted(cells.references(SPEC)) == sorted(DIGESTS)
    assert cells.references(cells.resolve(SPEC, DIGESTS)) == []


# ---- Rows and running -------------------------------------------------------------------------------


class FakeService:
    """Runs jobs at once; those of an odd seed fail."""

    jobs = 0

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def stop(self):
        pass

    def check(self):
        pass

    def upload(self, _, kind):
        assert kind in ("data", "model")

    def run_job(self, spec, keep=None):
        FakeService.jobs += 1
        if keep is not None:
            keep.write_text("a model", encoding="utf-8")
        if spec["task"]["seed"] % 2 == 1:
            return {"state": "JOB_STATE_FAILED", "reason": "JOB_REASON_WORK_FAILED",
                    "error": {"message": "the loss is not a number"}}, None
        file = {"kind": "ONNX", "filename": "model.onnx", "digest": "d" * 64, "size_bytes": "10"}
        job = {"state": "JOB_STATE_SUCCEEDED", "attempts": [{}], "result": {
            "files": [file], "given_metrics": {"accuracy": 0.1}, "pruned_metrics": {"accuracy": 0.5},
            "sparsity_reached": 0.9, "bit_exact": True}}
        report = {"layers": [{"name": "w", "pruned": True, "blocks_live": 1, "blocks_total": 9}, {"name": "v", "pruned": False}],
                  "costs": {"total_seconds": 2}, "task": {"steps": 7},
                  "environment": {"isa": "avx2", "threads": 1, "plan_digest": "e" * 64, "versions": {"topiary": "0"}}}
        return job, report


class FakeArtifacts:
    digests = DIGESTS

    def __init__(self, folder):
        self._folder = folder

    def ensure(self, name):
        return name

    def has(self, name):
        return self.kept_path(name).exists()

    def kept_path(self, name):
        return self._folder / name


def run_stage(folder, some_cells, monkeypatch, deadline=None, models_needed=False):
    monkeypatch.setattr(service, "Service", FakeService)
    FakeService.jobs = 0
    stage = running.Stage("study", some_cells, Rows(folder / "rows.jsonl"), models_needed=models_needed)
    runner = running.Runner(FakeArtifacts(folder), folder, 2, deadline)
    finished = runner.run(stage, running.Estimate([], lambda cell: 1))
    return finished, FakeService.jobs, stage.rows


def test_a_study_goes_on_where_it_stopped(tmp_path, monkeypatch):
    some = [make_cell(seed=seed) for seed in range(0, 10, 2)]
    assert run_stage(tmp_path, some[:2], monkeypatch)[:2] == (True, 2)
    finished, jobs, rows = run_stage(tmp_path, some, monkeypatch)
    assert (finished, jobs, len(rows.by_key)) == (True, 3, 5)
    assert run_stage(tmp_path, some, monkeypatch)[:2] == (True, 0)


def test_a_changed_spec_is_run_and_its_old_row_is_left_alone(tmp_path, monkeypatch):
    run_stage(tmp_path, [make_cell()], monkeypatch)
    changed = make_cell(target={"sparsity": 0.5})
    _, jobs, rows = run_stage(tmp_path, [changed], monkeypatch)
    assert jobs == 1
    assert len(rows.by_key) == 2
    assert len(rows.of([cells.key_of(changed, DIGESTS)])) == 1


def test_nothing_is_begun_that_would_not_end_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(running.time, "monotonic", lambda: 100.0)
    finished, jobs, _ = run_stage(tmp_path, [make_cell()], monkeypatch, deadline=100.5)
    assert (finished, jobs) == (False, 0)


def test_a_job_that_failed_is_a_row_too(tmp_path, monkeypatch):
    finished, _, rows = run_stage(tmp_path, [make_cell(seed=1)], monkeypatch)
    (row,) = rows.by_key.values()
    assert finished
    assert (row["state"], row["error"]) == ("FAILED", "the loss is not a number")


def test_a_model_that_others_need_is_made_again_where_it_is_missing(tmp_path, monkeypatch):
    cell = dataclasses.replace(make_cell(), keep="m.onnx")
    assert run_stage(tmp_path, [cell], monkeypatch, models_needed=True)[1] == 1
    assert (tmp_path / "m.onnx").exists()
    assert run_stage(tmp_path, [cell], monkeypatch, models_needed=True)[1] == 0
    (tmp_path / "m.onnx").unlink()
    assert run_stage(tmp_path, [cell], monkeypatch, models_needed=False)[1] == 0
    _, jobs, _ = run_stage(tmp_path, [cell], monkeypatch, models_needed=True)
    assert jobs == 1
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1


def test_a_model_that_a_job_left_is_sent_as_a_model(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(FakeService, "upload", lambda _, path, kind: sent.append((path, kind)))
    cell = make_cell(model={"files": [{"digest": "@trained/m.onnx"}]})
    monkeypatch.setattr(FakeArtifacts, "digests", {**DIGESTS, "trained/m.onnx": "c" * 64})
    run_stage(tmp_path, [cell], monkeypatch)
    assert sorted(sent) == [("data/d/train.npz", "data"), ("trained/m.onnx", "model")]


def test_a_row_says_what_was_measured_and_under_which_determinism_key(tmp_path, monkeypatch):
    _, _, rows = run_stage(tmp_path, [make_cell()], monkeypatch)
    (row,) = Rows(tmp_path / "rows.jsonl").by_key.values()
    assert row == rows.by_key[row["key"]]
    assert row["metrics"] == {"accuracy": 0.5}
    assert row["layers"] == {"w": [1, 9], "v": "dense"}
    assert row["bytes"] == {"onnx": 10}
    assert row["determinism"] == {"isa": "avx2", "threads": 1, "plan": "e" * 16, "topiary": "0"}


def test_a_line_that_was_cut_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    Rows(path).append({"key": "a"})
    path.write_text(path.read_text() + '{"key": "b', encoding="utf-8")
    with pytest.raises(ValueError, match="rows.jsonl:2"):
        Rows(path)


def test_an_estimate_goes_by_the_jobs_that_ran():
    row = {"task": "t", "method": "m", "seconds": 10}
    estimate = running.Estimate([row, {**row, "seconds": 20}, {**row, "method": "n", "seconds": 60}], lambda cell: 1)
    assert estimate(make_cell()) == 15
    other = cells.Cell(task="t", method="o", seed=0, spec={})
    assert estimate(other) == 30
    assert estimate(cells.Cell(task="u", method="m", seed=0, spec={})) == 1


# ---- Tuning -----------------------------------------------------------------------------------------

STUDY = block_pruning.BlockPruning(pathlib.Path("nowhere"), {})


@pytest.mark.parametrize("task", tasks.TASKS.values(), ids=lambda task: task.name)
def test_tuning_is_the_same_effort_for_each_method_and_sees_no_test_data(task):
    counts = set()
    for method in methods.METHODS.values():
        some = STUDY.tuning_cells(task, method)
        counts.add(len(some))
        assert not any("test" in name for cell in some for name in cells.references(cell.spec))
        assert all("evaluation" not in cell.spec["data"] for cell in some)
        assert {cell.seed for cell in some}.isdisjoint(range(100))
    assert counts == {methods.GRID_SIZE * len(task.tuned_at)}


def test_our_own_method_is_tuned_like_the_others_and_confirmed_on_fresh_seeds():
    study = fisher_attention.FisherAttention(pathlib.Path("nowhere"), {})
    tuned_on = [(cell.task, cell.seed, cell.sparsity, cell.block) for cell in study.tuning_stage().cells]
    others = [(cell.task, cell.seed, cell.sparsity, cell.block)
              for cell in STUDY.tuning_stage_of("random")().cells if cell.task in fisher_attention.TASKS]
    assert sorted(tuned_on) == sorted(others)
    fresh = {cell.seed for cell in study.main_stage().cells}
    assert fresh.isdisjoint({cell.seed for cell in [*STUDY.main_stage().cells, *STUDY.tuning_stage().cells]})


def test_our_own_method_and_what_it_is_compared_with_meet_the_same_cells():
    met = {}
    for cell in fisher_attention.FisherAttention(pathlib.Path("nowhere"), {}).main_stage().cells:
        if cell.task in fisher_attention.TAKEN_APART:
            met.setdefault(cell.method, set()).add((cell.task, cell.seed, cell.sparsity, cell.block))
    assert set(met) == {fisher_attention.NAME, *fisher_attention.RIVALS, *fisher_attention.PARTS}
    assert len(set(map(frozenset, met.values()))) == 1


def test_settings_of_a_grid_are_all_different():
    for method in [*methods.METHODS.values(), fisher_attention.OURS]:
        specs = [cells.canonical([method.spec(settings), settings["learning_rate"]]) for settings in method.grid]
        assert len(set(specs)) == methods.GRID_SIZE


def tuned(task, method, values, tmp_path):
    """What is chosen with these values of the metric for the settings of the grid; None is a failed job."""
    some = STUDY.tuning_cells(task, method)
    digests = {name: "a" for cell in some for name in cells.references(cell.spec)}
    rows = Rows(tmp_path / "block_pruning.tuning.jsonl")
    for cell in some:
        index = method.grid.index(cell.settings)
        if index < len(values):
            value = values[index]
            row = {"key": cells.key_of(cell, digests), "state": "FAILED" if value is None else "SUCCEEDED"}
            rows.append({**row, "metrics": {task.metric: value}})
    choice = tuning.choose(some, method.grid, task, rows, digests)
    return choice and method.grid.index(choice[0])


@pytest.mark.parametrize("values, best", [
    ([0.1, 0.2, 0.3, 0.2, 0.3, 0.1], 2),
    ([None, 0.2, 0.1, 0.1, 0.1, 0.1], 1),
    ([None] * 6, 0),
    ([0.1, 0.2, 0.3], None),
])
def test_the_best_setting_is_chosen_once_all_were_tried(values, best, tmp_path):
    assert tuned(tasks.TASKS["isolet_mlp"], methods.METHODS["ac_dc"], values, tmp_path) == best


def test_a_loss_is_better_where_it_is_lower(tmp_path):
    assert tuned(tasks.TASKS["adult_mlp"], methods.METHODS["dense"], [3, 2, 1, 2, 3, 4], tmp_path) == 2


def test_a_study_takes_over_what_tuning_chose(tmp_path):
    task, method = tasks.TASKS["isolet_mlp"], methods.METHODS["magnitude_gradual"]
    assert tuned(task, method, [0, 0, 0, 0, 0, 1], tmp_path) == 5
    digests = {name: "a" for cell in STUDY.tuning_cells(task, method) for name in cells.references(cell.spec)}
    study = block_pruning.BlockPruning(tmp_path, digests, ["isolet_mlp"])
    main = [cell for cell in study.main_stage().cells if cell.method == method.name]
    assert {cells.canonical(cell.settings) for cell in main} == {cells.canonical(method.grid[5])}
    assert len(main) == 3 * (5 + 5 + 3 + 3 + 3)
    study.finish()
    chosen = json.loads((tmp_path / "block_pruning.chosen.json").read_text())
    assert chosen == {task.name: {method.name: {"settings": method.grid[5], "validation": {
        "metric": "accuracy", "grid": list(method.grid), "means": [0, 0, 0, 0, 0, 1]}}}}
    other_task = block_pruning.BlockPruning(tmp_path, digests, ["adult_mlp"])
    assert other_task.choices() == chosen, "a run of one task keeps the choices of the others"


def test_all_methods_meet_the_same_cells():
    met = {}
    for cell in STUDY.main_stage().cells:
        spec = {**cell.spec, "task": {**cell.spec["task"], "learning_rate": None}}
        for name in ("sequential_attention_pp", "magnitude", "ac_dc", "power_propagation", "random"):
            spec.pop(name, None)
        met.setdefault(cell.method, []).append(cells.canonical(spec))
    dense = met.pop("dense")
    assert len(set(map(tuple, met.values()))) == 1
    assert dense


# ---- Statistics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("t, degrees, p", [
    (12.706204736, 1, 0.05), (2.776445105, 4, 0.05), (4.604094871, 4, 0.01), (2.0, 10, 0.0733880347707404), (0, 7, 1),
    (1.959963985, 10**7, 0.05),
])
def test_the_p_of_student_is_that_of_the_tables(t, degrees, p):
    assert paired_tests.student_p(t, degrees) == pytest.approx(p, rel=1e-6)
    assert paired_tests.student_p(-t, degrees) == pytest.approx(p, rel=1e-6)


def test_the_incomplete_beta_function_has_its_closed_forms():
    for x, b in itertools.product((0, 0.01, 0.3, 0.7, 0.99, 1), (0.5, 2, 7)):
        assert paired_tests.incomplete_beta(1, b, x) == pytest.approx(1 - (1 - x) ** b, abs=1e-12)
        assert paired_tests.incomplete_beta(b, 1, x) == pytest.approx(x ** b, abs=1e-12)
        assert paired_tests.incomplete_beta(0.5, 0.5, x) == pytest.approx(2 / math.pi * math.asin(math.sqrt(x)), abs=1e-12)


def test_the_paired_t_test_says_when_there_is_nothing_to_test():
    assert paired_tests.paired_t([0.5]) == (0.5, None)
    assert paired_tests.paired_t([0.0, 0.0]) == (0.0, 1.0)
    mean, p = paired_tests.paired_t([1, 2, 3, 4, 5])
    assert (mean, p) == (3.0, pytest.approx(0.0132346, rel=1e-4))  # t = 3 / sqrt(2.5 / 5).


def test_permutations_of_signs_are_counted_exactly_where_they_are_few():
    assert paired_tests.sign_permutation_p([[1], [1], [1], [1]]) == 2 / 16
    assert paired_tests.sign_permutation_p([[1, 1], [1, 1]]) == 2 / 4  # Two units, however many pairs.
    assert paired_tests.sign_permutation_p([[1], [-1]]) == 1
    assert paired_tests.sign_permutation_p([[3], [1]]) == 2 / 4


def test_drawn_permutations_agree_with_all_of_them(monkeypatch):
    differences = [[value] for value in (0.5, -0.2, 0.9, 0.1, 0.3, -0.4, 0.8, 0.2, 0.6, -0.1)]
    exact = paired_tests.sign_permutation_p(differences)
    monkeypatch.setattr(paired_tests, "EXHAUSTIVE", 0)
    assert paired_tests.sign_permutation_p(differences) == pytest.approx(exact, abs=0.01)
    assert paired_tests.sign_permutation_p(differences) == paired_tests.sign_permutation_p(differences)


def test_pairs_are_of_the_same_cell_and_grouped_by_task_and_seed():
    def row(seed, block, value, state="SUCCEEDED"):
        return {"task": "t", "seed": seed, "sparsity": 0.9, "block": block, "state": state, "metrics": {"accuracy": value}}

    ours = [row(0, 8, 0.9), row(0, 16, 0.8), row(1, 8, 0.7), row(2, 8, 0.1)]
    theirs = [row(1, 8, 0.5), row(0, 8, 0.8), row(0, 16, 0.9), row(2, 8, 0, "FAILED")]
    found = tables.pairs(ours, theirs, "accuracy")
    assert [group for group, _ in found] == [("t", 0), ("t", 0), ("t", 1)]
    assert [difference for _, difference in found] == pytest.approx([0.1, -0.1, 0.2])
    result = tables.compare(found)
    assert (result["pairs"], result["groups"], result["mean"]) == (3, 2, pytest.approx(0.2 / 3))


def test_a_table_says_mean_spread_seeds_and_failures():
    rows = [{"state": "SUCCEEDED", "metrics": {"a": value}} for value in (0.5, 0.7)]
    assert tables.cell_text(rows, "a") == "0.6000 ± 0.1414 (2)"
    assert tables.cell_text(rows[:1], "a") == f"{rows[0]['metrics']['a']:.4f} (1)"
    assert tables.cell_text([*rows, {"state": "FAILED"}], "a") == "0.6000 ± 0.1414 (2, 1 failed)"
    assert tables.cell_text([], "a") == ""


# ---- Plots and data -------------------------------------------------------------------------------------


def test_a_plot_is_xml_with_a_point_for_each_point_and_a_name_for_each_series():
    panels = [svg.Panel("a < b", ["90 %", "95 %"], "sparsity",
                        [svg.Series("one & two", [(0, 0.9, 0.01), (1, 0.5, 0.02)]), svg.Series("empty", [])])] * 3
    tree = xml.etree.ElementTree.fromstring(svg.to_svg(panels))
    space = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f".//{space}g/{space}circle")) == 6
    assert [text.text for text in tree.findall(f"{space}text")] == ["one & two", "empty"]


@pytest.mark.parametrize("low, high", [(0.83, 0.96), (0, 1), (0.5, 0.5), (-3, 120), (0.44, 0.4401)])
def test_ticks_are_round_and_span_the_values(low, high):
    ticks = svg.nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high
    assert 2 <= len(ticks) <= 8


def test_a_split_is_a_partition_that_the_seed_decides():
    train, test = datasets.split(100, 0.2, seed=3)
    assert sorted([*train, *test]) == list(range(100))
    assert len(test) == 20
    assert list(test) == list(datasets.split(100, 0.2, seed=3)[1])
    assert list(test) != list(datasets.split(100, 0.2, seed=4)[1])


def test_scaling_is_fitted_on_what_it_is_given_alone():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    np.testing.assert_allclose(datasets.Standardizer(x)(np.array([[5.0, 6.0]])), [[3, 1]])
    np.testing.assert_allclose(datasets.MinMax(x)(np.array([[5.0, 6.0]])), [[2, 1]])


def test_a_report_takes_the_place_of_the_one_before():
    first = documents.replace_section("# All\n\n## a\n\nold\n", "Study: s", "one\n")
    assert first == "# All\n\n## a\n\nold\n\n## Study: s\n\none\n"
    more = documents.replace_section(first + "\n## z\n\nlast\n", "Study: s", "two\n\n### part")
    assert more == "# All\n\n## a\n\nold\n\n## Study: s\n\ntwo\n\n### part\n\n## z\n\nlast\n"


def test_missing_data_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TOPIARY_DATA", str(tmp_path))
    with pytest.raises(datasets.DataMissing, match=r"isolet/a\.csv\.gz.*put the table there"):
        datasets.source("isolet/a.csv.gz", "the table")
    monkeypatch.delenv("TOPIARY_DATA")
    with pytest.raises(datasets.DataMissing, match="TOPIARY_DATA"):
        datasets.source("isolet/a.csv.gz", "the table")


def test_artifacts_are_made_once_and_their_digests_kept(tmp_path, monkeypatch):
    made = []

    def make():
        made.append(1)
        return {"train": {"x": np.zeros(3)}, "test": {"x": np.ones(3)}}

    monkeypatch.setitem(artifacts.catalog.DATASETS, "d", make)
    first = artifacts.Artifacts(tmp_path / "files", tmp_path / "results/artifacts.json")
    path = first.ensure("data/d/train.npz")
    np.testing.assert_array_equal(np.load(path)["x"], np.zeros(3))
    second = artifacts.Artifacts(tmp_path / "files", tmp_path / "results/artifacts.json")
    assert second.digests == first.digests
    second.ensure("data/d/test.npz")
    assert len(made) == 1
    (tmp_path / "files/data/d.stamp").write_text("of other code")
    third = artifacts.Artifacts(tmp_path / "files", tmp_path / "results/artifacts.json")
    third.ensure("data/d/train.npz")
    assert len(made) == 2
    assert third.digests == second.digests
