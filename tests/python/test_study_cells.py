"""What the studies run and generate (bench/studies), without a service: specs, reports, generated data, models."""

import hashlib
import pathlib
import sys

import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from studies import ablations, block_pruning, cells, determinism, methods
from studies.datasets import census, clicks
from studies.models.clicks import make_click_model


class AnyDigest(dict):
    """A digest for each name."""

    def __missing__(self, name):
        return hashlib.sha256(name.encode()).hexdigest()


def make_row(cell, value, **more):
    return {"key": cells.key_of(cell, AnyDigest()), "task": cell.task, "method": cell.method, "seed": cell.seed,
            "sparsity": cell.sparsity, "block": cell.block, "state": "SUCCEEDED", "attempts": 1,
            "layers": {"w": "dense"}, "determinism": {"isa": "avx2"},
            "metrics": {"accuracy": value, "log_loss": value, "auc": value}, **more}


def write_rows(path, rows):
    """As Rows.append() does one after the other, which waits for the disk each time."""
    path.write_text("".join(cells.canonical(row) + "\n" for row in rows), encoding="utf-8")


def test_a_row_names_what_is_gone_where_it_has_a_name():
    report = {"groups": [{"name": "transformer_layers", "pruned": ["layers.2"]}, {"name": "layers.0"}]}
    assert cells.pruned_of(report) == ["layers.2"]
    assert cells.pruned_of({"layers": []}) == []


# ---- Reports ------------------------------------------------------------------------------------------


def test_the_report_of_block_pruning_has_means_tests_and_plots(tmp_path):
    rows = []
    for cell in block_pruning.BlockPruning(tmp_path, AnyDigest()).main_stage().cells:
        if cell.task == "isolet_mlp":
            rank = list(methods.METHODS).index(cell.method)
            rows.append(make_row(cell, 0.9 - 0.01 * rank + 0.001 * cell.seed))
    write_rows(tmp_path / "block_pruning.jsonl", rows)
    text = block_pruning.BlockPruning(tmp_path, AnyDigest()).report(tmp_path)
    assert text.count("0.9020 ± 0.0016 (5)") == 6  # Ours: two sparsities, three blocks.
    (line,) = [line for line in text.splitlines() if line.startswith("| gradual magnitude | ISOLET") and "95 %" in line]
    assert "15 (5 seeds) | +0.0100" in line
    assert (tmp_path / "study_block_pruning_isolet_mlp.svg").read_text().count("<circle") > 3 * 4 * 6


def test_a_report_of_no_rows_is_short(tmp_path):
    assert "instruction sets: none" in block_pruning.BlockPruning(tmp_path, AnyDigest()).report(tmp_path)
    assert "0 attempts" in determinism.Determinism(tmp_path, AnyDigest()).report(tmp_path)
    assert ablations.Ablations(tmp_path, AnyDigest()).report(tmp_path)


def test_a_variant_differs_in_the_method_alone_and_from_every_other(tmp_path):
    study = ablations.Ablations(tmp_path, AnyDigest(), ["isolet_mlp"])
    by_variant = {}
    for cell in study.main_stage().cells:
        by_variant.setdefault(cell.settings["variant"], []).append(cell)
    others = {variant: cells.canonical([{**cell.spec, block_pruning.OURS: None} for cell in found])
              for variant, found in by_variant.items()}
    assert len(set(others.values())) == 1
    parts = {cells.canonical(found[0].spec[block_pruning.OURS]) for found in by_variant.values()}
    assert len(parts) == len(ablations.VARIANTS)


def test_the_base_of_the_ablations_is_the_cell_of_block_pruning(tmp_path):
    base = [cell for cell in ablations.Ablations(tmp_path, AnyDigest()).main_stage().cells
            if cell.settings.get("variant") == ablations.BASE]
    main = block_pruning.BlockPruning(tmp_path, AnyDigest()).main_stage().cells
    assert {cells.key_of(cell, AnyDigest()) for cell in base} <= {cells.key_of(cell, AnyDigest()) for cell in main}


def test_ablations_report_the_difference_to_their_base(tmp_path):
    write_rows(tmp_path / "ablations.jsonl", [
        make_row(cell, 0.7 if cell.settings.get("variant") == "c = 8" else 0.9)
        for cell in ablations.Ablations(tmp_path, AnyDigest()).main_stage().cells])
    text = ablations.Ablations(tmp_path, AnyDigest()).report(tmp_path)
    assert "| c = 8, less as in block_pruning | 95 % | 10 | -0.2000 |" in text
    assert "| c = 2, less as in block_pruning | 95 % | 10 | +0.0000 |" in text


def test_longer_training_is_compared_with_the_rows_of_block_pruning(tmp_path):
    def shorter(cell):
        return cell.sparsity == ablations.LONGER_SPARSITY and cell.task == ablations.LONGER_TASK.name

    def accuracy(cell, ours):
        return ours if cell.method == block_pruning.OURS else 0.8

    short = [cell for cell in block_pruning.BlockPruning(tmp_path, AnyDigest()).main_stage().cells if shorter(cell)]
    longer = ablations.Ablations(tmp_path, AnyDigest(), [ablations.LONGER_TASK.name]).main_stage().cells
    assert {cell.spec["task"]["epochs"] for cell in longer} == {3 * cell.spec["task"]["epochs"] for cell in short}
    write_rows(tmp_path / "block_pruning.jsonl", [make_row(cell, accuracy(cell, 0.7)) for cell in short])
    write_rows(tmp_path / "ablations.jsonl", [make_row(cell, accuracy(cell, 0.85)) for cell in longer])
    text = ablations.Ablations(tmp_path, AnyDigest()).report(tmp_path)
    (line,) = [line for line in text.splitlines() if line.startswith("| AC/DC")]
    assert "-0.1000" in line and "+0.0500" in line


def test_runs_of_the_determinism_study_are_the_same_jobs_under_different_keys(tmp_path):
    stages = [make() for make in determinism.Determinism(tmp_path, AnyDigest()).stages()]
    specs = [[cells.canonical(cell.spec) for cell in stage.cells] for stage in stages]
    assert specs[0] == specs[1] == specs[2]
    keys = [cells.key_of(cell, AnyDigest()) for stage in stages for cell in stage.cells]
    assert len(set(keys)) == len(keys)
    assert [stage.seconds_between_kills > 0 for stage in stages] == [False, False, True]


def test_a_bit_that_changed_is_counted(tmp_path):
    study = determinism.Determinism(tmp_path, AnyDigest())
    rows = []
    for make in study.stages():
        for cell in make().cells:
            changed = cell.run == "killed" and cell.method == "ac_dc" and cell.seed == 1
            rows.append(make_row(cell, 0.5, model="other" if changed else "same", run=cell.run))
    write_rows(tmp_path / "determinism.jsonl", rows)
    lines = determinism.Determinism(tmp_path, AnyDigest()).report(tmp_path).splitlines()
    assert [line for line in lines if line.startswith("| AC/DC")][0].endswith("| 3 of 4 | 4 of 4 |")
    assert [line for line in lines if line.startswith("| random")][0].endswith("| 4 of 4 | 4 of 4 |")


# ---- Data -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="rows")
def fixture_rows():
    return clicks.generate(clicks.CHUNK)


def test_generated_clicks_are_the_same_everywhere(rows):
    x, y = rows
    assert (x.shape, x.dtype, y.shape) == ((clicks.CHUNK, 39), np.uint16, (clicks.CHUNK,))
    digest = hashlib.sha256(x[:1000].tobytes() + y[:1000].tobytes()).hexdigest()
    assert digest == "736d8f481c503eab220d70eb9bd5965a8fc52fcab950221cd225e6fc0b1d1480"


def test_more_rows_begin_with_the_same_ones(rows):
    x, y = clicks.generate(clicks.CHUNK + 1)
    assert len(x) == 2 * clicks.CHUNK
    np.testing.assert_array_equal(x[:clicks.CHUNK], rows[0])
    np.testing.assert_array_equal(y[:clicks.CHUNK], rows[1])
    assert (x[clicks.CHUNK:] != rows[0]).any()


def test_clicks_have_the_shape_of_criteo(rows):
    x, y = rows
    assert 0.22 < y.mean() < 0.30
    for field, (first, size) in enumerate(zip(clicks.FIRST, clicks.SIZES)):
        assert x[:, field].min() == first
        assert x[:, field].max() < first + size
        counts = np.bincount(x[:, field] - first, minlength=size)
        assert counts[0] == pytest.approx(2 * counts[1], rel=0.05)
    assert clicks.FIRST[-1] + clicks.SIZES[-1] == clicks.TABLE_ROWS <= 2 ** 16


def test_the_planted_signal_tells_clicks_and_other_fields_have_none(rows):
    x, y = rows
    effect, latent = clicks.planted(np.random.Generator(np.random.PCG64(clicks.SEED)))
    ids = x.astype(np.int64)
    scores = clicks.scores(ids, effect, latent)
    order = np.argsort(scores)
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    auc = (ranks[y == 1].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (len(y) - y.sum()))
    assert 0.79 < auc < 0.84
    idle = [field for field, strength in enumerate(clicks.strengths()) if strength == 0]
    assert len(idle) == 19
    others = [field for field in idle if all(field not in pair for pair in clicks.PAIRS)]
    assert others == idle
    ids[:, idle] = [clicks.FIRST[field] for field in idle]
    np.testing.assert_array_equal(clicks.scores(ids, effect, latent), scores)


def test_the_click_model_computes_what_it_says(tmp_path, rows):
    make_click_model(tmp_path / "a.onnx", 5)
    make_click_model(tmp_path / "b.onnx", 5)
    make_click_model(tmp_path / "c.onnx", 6)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes() != (tmp_path / "c.onnx").read_bytes()
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    output = session.run(None, {"ids": rows[0][:7].astype(np.int64)})[0]
    assert output.shape == (7, 1)
    assert 0.001 < output.std() < 10


def test_the_encoding_of_adult_is_fitted_on_training_rows_alone():
    rows = [dict.fromkeys(census.NUMERIC, "1") | dict.fromkeys(census.CATEGORICAL, "a"),
            dict.fromkeys(census.NUMERIC, "3") | dict.fromkeys(census.CATEGORICAL, "b"),
            dict.fromkeys(census.NUMERIC, "5") | dict.fromkeys(census.CATEGORICAL, "new")]
    x = census.encode(rows, np.array([0, 1]))
    assert x.shape == (3, 6 + 2 * 8)
    np.testing.assert_allclose(x[:, 0], [-1, 1, 3])
    np.testing.assert_array_equal(x[:, 6:8], [[1, 0], [0, 1], [0, 0]])
