"""Data and models of the studies of feature selection and of transformers (bench/studies), and their cells."""

import math
import pathlib
import sys

import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from studies import cells, feature_selection, methods, service, transformer, tuning
from studies.artifacts import Artifacts
from studies.datasets import images, mice, scripture
from studies.models.decoder import make_decoder
from studies.models.selection import make_selection_mlp


def write_rows(path, rows):
    """As Rows.append() does one after the other, which waits for the disk each time."""
    path.write_text("".join(cells.canonical(row) + "\n" for row in rows), encoding="utf-8")


class AnyDigest(dict):
    """Some digest for each name."""

    def __missing__(self, name):
        return name


def run_model(path, name, value):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: value})[0]


# ---- Images -------------------------------------------------------------------------------------------


def test_area_means_are_those_of_the_squares_that_pixels_cover():
    some = np.random.default_rng(1).integers(0, 256, (3, 32, 32)).astype(np.uint8)
    blocks = some.reshape(3, 16, 2, 16, 2).mean((2, 4))
    assert np.allclose(images.area_means(some, 16), blocks)
    # A pixel of 20x20 covers one and a half old ones and a bit: all of the first, .6 of the second.
    weights = np.array([1, 0.6]) / 1.6
    assert np.allclose(images.area_means(some, 20)[:, 0, 0], np.einsum("i,nij,j->n", weights, some[:, :2, :2], weights))
    assert np.allclose(images.area_means(some, 20).mean((1, 2)), some.mean((1, 2)), rtol=1e-5)
    assert np.array_equal(images.area_means(some, 32), some)


# ---- Mice ---------------------------------------------------------------------------------------------


def test_a_missing_value_is_the_mean_of_those_present_in_its_class():
    nan = np.nan
    x = np.array([[1.0, 5.0], [nan, 5.0], [3.0, nan], [10.0, nan], [nan, nan]])
    done = mice.impute_by_class(x, np.array([0, 0, 0, 1, 1]))
    np.testing.assert_allclose(done, [[1, 5], [2, 5], [3, 5], [10, 5], [10, 5]])
    assert np.isnan(x[1, 0])


def test_no_mouse_is_in_both_parts_and_each_class_has_mice_in_both():
    names = np.repeat([f"mouse{i}" for i in range(24)], 3)
    classes = np.repeat(np.arange(24) % 4, 3)
    train, test = mice.split_by_mouse(names, classes, seed=1)
    assert set(names[train]).isdisjoint(names[test])
    assert sorted([*train, *test]) == list(range(72))
    assert list(np.bincount(classes[test])) == 4 * [3 * mice.HELD_OUT_MICE]
    assert set(classes[train]) == {0, 1, 2, 3}
    assert list(test) != list(mice.split_by_mouse(names, classes, seed=2)[1])


# ---- Scripture ----------------------------------------------------------------------------------------

PRINTED = """
1 Kings 1

  1 Now king David was old and stricken in years; and they covered him
with clothes, but he gat no heat.
  2 Wherefore his servants said unto him, Let there be sought.

1 Kings 2

  1 Now the days of David drew nigh.
"""


def test_chapters_are_lines_of_verses_without_names_and_numbers():
    first, second = scripture.chapters_of(PRINTED)
    assert first == ("Now king David was old and stricken in years; and they covered him with clothes, but he gat no "
                     "heat.\nWherefore his servants said unto him, Let there be sought.\n")
    assert second == "Now the days of David drew nigh.\n"


def test_each_character_is_to_be_told_from_those_before_it():
    ids = np.arange(3 * scripture.LENGTH, dtype=np.uint16)
    found = scripture.sequences(ids)
    assert found["x"].shape == found["y"].shape == (2, scripture.LENGTH)
    np.testing.assert_array_equal(found["y"], found["x"] + 1)
    assert found["x"][1, 0] == scripture.LENGTH


def test_a_character_that_the_alphabet_lacks_is_named():
    assert list(scripture.encode(" \nzA")) == [0, 1, 37, 38]
    assert len(set(scripture.ALPHABET)) == 64
    with pytest.raises(ValueError, match="4"):
        scripture.encode("4")


# ---- Models -------------------------------------------------------------------------------------------


def test_the_decoder_sees_nothing_that_comes_later(tmp_path):
    make_decoder(tmp_path / "m.onnx", 1, "9-6-2-8-2")
    ids = np.random.default_rng(1).integers(0, 9, (3, 6))
    changed = ids.copy()
    changed[:, 4] = (changed[:, 4] + 1) % 9
    before, after = (run_model(tmp_path / "m.onnx", "ids", value) for value in (ids, changed))
    assert before.shape == (3, 6, 9)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(axis=(0, 2)).all()


def test_models_are_decided_by_the_seed_alone(tmp_path):
    for make, shape in ((make_decoder, "9-6-2-8-2"), (make_selection_mlp, "5-3")):
        for name, seed in (("a", 1), ("b", 1), ("c", 2)):
            make(tmp_path / name, seed, shape)
        a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
        assert a == b != c


def test_the_selection_network_is_the_one_of_the_paper(tmp_path):
    make_selection_mlp(tmp_path / "m.onnx", 1, "5-3")
    assert run_model(tmp_path / "m.onnx", "x", np.ones((2, 5), np.float32)).shape == (2, 3)
    assert (tmp_path / "m.onnx").read_bytes().count(b"BatchNormalization") > 0


# ---- Cells of feature selection -------------------------------------------------------------------------

SELECTION = feature_selection.FeatureSelection(pathlib.Path("nowhere"), AnyDigest())


@pytest.mark.parametrize("task", feature_selection.TASKS.values(), ids=lambda task: task.name)
def test_each_selector_is_tuned_alike_and_without_test_data(task):
    counts = set()
    for selector in feature_selection.SELECTORS.values():
        found = SELECTION.tuning_cells(task, selector)
        specs = {cells.canonical(cell.spec) for cell in found}
        assert len(specs) == len(found)
        counts.add(len(specs))
        assert not any("/test" in name for cell in found for name in cells.references(cell.spec))
    assert counts == {methods.GRID_SIZE}


def trained_on(cell):
    return cell.spec["data"]["train"]["npz"]["digest"]


def test_each_seed_has_its_own_split_of_the_mice():
    for name in ("mice_rows", "mice_mouse"):
        found = SELECTION.cells_of(feature_selection.TASKS[name], feature_selection.SELECTORS["omp"])
        assert len({trained_on(cell) for cell in found}) == mice.SPLITS == len(found)


# The training data of one split have test data of the others among them.
def test_each_split_of_the_mice_is_tuned_by_its_own_training_data(tmp_path):
    task, selector = feature_selection.TASKS["mice_mouse"], feature_selection.SELECTORS["omp"]
    study = feature_selection.FeatureSelection(tmp_path, AnyDigest())
    for split in study.splits_of(task):
        found = study.tuning_cells(task, selector, split)
        for cell in found:  # Another setting is the best for each split.
            best = selector.grid.index(cell.settings) == split
            study.tuning_rows.append({"key": cells.key_of(cell, AnyDigest()), "state": "SUCCEEDED",
                                      "metrics": {"accuracy": 0.9 if best else 0.1}})
        (main,) = [cell for cell in study.cells_of(task, selector) if cell.seed == split]
        assert {trained_on(cell) for cell in found} == {trained_on(main)}
        assert main.settings == selector.grid[split]
    assert len(study.choices()["mice_mouse"]["omp"]) == mice.SPLITS


def test_selection_is_reported_beside_what_was_published(tmp_path):
    rows = []
    for cell in SELECTION.main_stage().cells:
        ours = cell.method == "sequential_attention"
        rows.append({"key": cells.key_of(cell, AnyDigest()), "task": cell.task, "method": cell.method, "seed": cell.seed,
                     "state": "SUCCEEDED", "metrics": {"accuracy": 0.95 if ours else 0.94}})
    write_rows(tmp_path / "feature_selection.jsonl", rows)
    text = feature_selection.FeatureSelection(tmp_path, AnyDigest(), ["mnist", "isolet"]).report(tmp_path)
    assert "| ours less published, in published deviations | -3.0 | +5.0 |" in text
    assert "| OMP | 10 | +0.0100 |" in text


def test_tuning_seeds_are_in_no_table():
    assert all(cell.seed < tuning.FIRST_SEED for cell in SELECTION.main_stage().cells)


# ---- Cells of the transformer -----------------------------------------------------------------------------


def test_what_is_pruned_is_the_model_of_the_dense_job_of_the_seed(tmp_path):
    study = transformer.Transformer(tmp_path, AnyDigest())
    kept = {cell.keep: cell.seed for cell in study.dense_stage().cells}
    assert len(kept) == transformer.SEEDS
    for cell in study.main_stage().cells:
        (model,) = [name for name in cells.references(cell.spec) if name in kept]
        assert kept[model] == cell.seed


def test_dense_jobs_run_again_only_while_their_models_are_needed(tmp_path):
    study = transformer.Transformer(tmp_path, AnyDigest())
    assert study.dense_stage().models_needed
    rows = []
    for cell in study.main_stage().cells:
        rows.append({"key": cells.key_of(cell, AnyDigest()), "state": "SUCCEEDED", "seconds": 1, "task": cell.task,
                     "method": cell.method, "metrics": {"log_loss": math.log(2 + cell.seed)}})
    write_rows(tmp_path / "transformer.jsonl", rows)
    again = transformer.Transformer(tmp_path, AnyDigest())
    assert not again.dense_stage().models_needed
    assert "2.500 ± 0.707 (2)" in again.report(tmp_path)


def test_the_model_of_a_job_that_has_not_run_here_is_named(tmp_path):
    files = Artifacts(tmp_path / "files", tmp_path / "results/artifacts.json")
    with pytest.raises(service.ServiceError, match="trained/x.onnx"):
        files.ensure("trained/x.onnx")
    path = files.kept_path("trained/x.onnx")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"model")
    assert files.ensure("trained/x.onnx") == path
    assert "trained/x.onnx" in files.digests
