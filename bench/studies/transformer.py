"""A transformer: perplexity against budget of a small decoder of characters, pruned after it was trained."""

import dataclasses
import math
import pathlib
from typing import Callable

from studies import cells, methods, running, svg, tables
from studies.rows import Rows

NAME = "transformer"
TASK = "decoder"
MODEL = "decoder/64-128-4-128-4"  # 64 characters, 128 places, 4 layers, width 128, 4 heads.
SEEDS = 2
EPOCHS, PRUNING_EPOCHS = 6, 2
BATCH = 32
LEARNING_RATE, PRUNING_LEARNING_RATE = 2e-3, 1e-3
SECONDS = {"dense": 360, "trained": 130, "calibrated": 15}


@dataclasses.dataclass(frozen=True)
class Granularity:
    """What is pruned, and how much of it."""

    name: str
    title: str
    target: dict
    sparsities: tuple


BLOCKS = Granularity("blocks", "blocks of 32x32", {"block_rows": 32, "block_cols": 32, "min_blocks": 16,
                                                   "include_layers": ["layers.*"]}, (0.5, 0.8, 0.9))
GRANULARITIES = {granularity.name: granularity for granularity in [
    BLOCKS,
    Granularity("heads", "attention heads", {"structure": "HEADS"}, (0.25, 0.5, 0.75)),
    Granularity("neurons", "units of the feed-forward networks", {"structure": "NEURONS"}, (0.5, 0.75, 0.9)),
    # One of the others, and two.
    Granularity("layers", "whole layers but the first",
                {"structure": "TRANSFORMER_LAYERS", "protect_first": 1, "protect_last": 0}, (0.34, 0.67)),
    # What protecting the first is for.
    Granularity("any_layers", "whole layers, the first too",
                {"structure": "TRANSFORMER_LAYERS", "protect_first": 0, "protect_last": 0}, (0.25,)),
]}


@dataclasses.dataclass(frozen=True)
class Method:
    """`trains`: whether the network is trained while, or after, it is pruned. `plotted`: others are far off."""

    name: str
    title: str
    spec: Callable[[], dict]
    trains: bool
    granularities: tuple
    plotted: bool = True


ALL = tuple(GRANULARITIES)
# What is left of a matrix makes up for what goes; of a layer nothing is left.
COMPENSATED = ("blocks", "heads", "neurons")
METHODS = {method.name: method for method in [
    Method("sequential_attention_pp", "SequentialAttention++", lambda: {"sequential_attention_pp": {}}, True, ALL),
    Method("fisher_attention", "Fisher attention", lambda: {"fisher_attention": {}}, True, ALL),
    Method("magnitude_gradual", "gradual magnitude", lambda: {"magnitude": {"gradual": methods.GRADUAL["default"]}}, True, ALL),
    # Each when the other prunes: what is due to that, and what to what they choose by.
    Method("fisher_attention_late", "Fisher attention, late",
           lambda: {"fisher_attention": methods.GRADUAL["default"]}, True, ("blocks",)),
    Method("magnitude_early", "gradual magnitude, early",
           lambda: {"magnitude": {"gradual": {"begin_fraction": 0.05, "end_fraction": 0.5}}}, True, ("blocks",)),
    Method("magnitude_one_shot", "one-shot magnitude", lambda: {"magnitude": {"one_shot": {}}}, True, ("blocks",)),
    Method("random", "random, then trained", lambda: {"random": {}}, True, ("blocks",), plotted=False),
    Method("wanda", "Wanda, not trained", lambda: {"wanda": {}}, False, ALL, plotted=False),
    Method("wanda_trained", "Wanda, then trained", lambda: {"wanda": {}}, True, ALL, plotted=False),
    Method("sparsegpt", "SparseGPT, not trained", lambda: {"sparsegpt": {}}, False, COMPENSATED, plotted=False),
    Method("sparsegpt_trained", "SparseGPT, then trained", lambda: {"sparsegpt": {}}, True, COMPENSATED),
]}


def trained_model(seed):
    """The artifact that the dense job of a seed leaves."""
    return f"trained/{TASK}/seed{seed}.onnx"


def make_spec(model, seed, method, epochs, learning_rate):
    training = {"optimizer": {"adamw": {}}, "epochs": epochs,
                "learning_rate": {"base": learning_rate, "warmup_steps": 100, "cosine": {}}}
    return {
        "model": {"files": [{"path": "model.onnx", "digest": f"@{model}"}]},
        "data": {"train": {"npz": {"digest": "@data/scripture/train.npz"}},
                 "evaluation": {"npz": {"digest": "@data/scripture/test.npz"}}},
        "task": {"batch_size": BATCH, "seed": seed, "metrics": ["LOG_LOSS", "ACCURACY"], **(training if epochs else {})},
        "outputs": {"latency": False},
        "placement": {"threads": 1},
        **method,
    }


class Transformer:
    """Dense jobs first, one for each seed, whose models the others prune."""

    def __init__(self, results, digests, only=()):
        del only  # There is one task.
        self._digests = digests
        self._rows = Rows(results / f"{NAME}.jsonl")

    def guess(self, cell):
        if cell.method == "dense":
            return SECONDS["dense"]
        return SECONDS["trained" if METHODS[cell.method].trains else "calibrated"]

    def stages(self):
        return [self.dense_stage, self.main_stage]

    def dense_stage(self):
        needed = bool(running.open_cells(self.main_stage(), self._digests))
        return running.Stage("dense", self._dense_cells(), self._rows, models_needed=needed)

    def main_stage(self):
        found = [cell for method in METHODS.values() for name in method.granularities
                 for cell in self._cells(method, GRANULARITIES[name])]
        return running.Stage("study", sorted(found, key=lambda cell: cell.seed), self._rows)

    def finish(self):
        """Nothing is tuned."""

    def _dense_cells(self):
        return [cells.Cell(task=TASK, method="dense", seed=seed, keep=trained_model(seed),
                           spec=make_spec(f"model/{MODEL}/seed{seed}.onnx", seed, {"dense": {}}, EPOCHS, LEARNING_RATE))
                for seed in range(SEEDS)]

    def _cells(self, method, granularity):
        epochs = PRUNING_EPOCHS if method.trains else None
        found = []
        for sparsity in granularity.sparsities:
            for seed in range(SEEDS):
                spec = make_spec(trained_model(seed), seed, method.spec(), epochs, PRUNING_LEARNING_RATE)
                spec["target"] = {"sparsity": sparsity, **granularity.target}
                found.append(cells.Cell(task=TASK, method=method.name, seed=seed, sparsity=sparsity, spec=spec,
                                        settings={"granularity": granularity.name}))
        return found

    def _perplexities(self, found):
        rows = self._rows.of([cells.key_of(cell, self._digests) for cell in found])
        return [math.exp(loss) for loss in tables.values_of(rows, "log_loss")]

    def report(self, images):
        dense = self._perplexities(self._dense_cells())
        parts = [f"`tools/study {NAME}`: a decoder of 4 layers, width 128, 4 heads, over characters of the King James Bible "
                 f"(1,000,000 to train on, 250,000 of other chapters to test with). Perplexity of a character, mean ± standard "
                 f"deviation over seeds (number of seeds). All methods start from the same dense model, trained for {EPOCHS} "
                 f"epochs (perplexity {tables.figure_text(dense, 3)}); those that train have {PRUNING_EPOCHS} epochs more. All have "
                 f"their default settings: the effort of tuning is the same for each, none. SparseGPT has what is left "
                 f"of a matrix make up for what goes, and prunes no whole layers. Fisher attention prunes from 5 to 50 % of those epochs by default, gradual "
                 f"magnitude from 20 to 70 %; *late* and *early* are each when the other prunes.\n"]
        panels = []
        for granularity in GRANULARITIES.values():
            parts.append(self._table(granularity))
            if len(granularity.sparsities) > 1:
                panels.append(self._panel(granularity, dense))
        path = pathlib.Path(images) / f"study_{NAME}.svg"
        path.write_text(svg.to_svg(panels), encoding="utf-8")
        return "\n".join([*parts, f"![Perplexity against sparsity](images/{path.name})\n"])

    def _points(self, method, granularity):
        """(position of the sparsity, perplexities)."""
        return [(x, self._perplexities([cell for cell in self._cells(method, granularity) if cell.sparsity == sparsity]))
                for x, sparsity in enumerate(granularity.sparsities)]

    def _methods_of(self, granularity):
        return [method for method in METHODS.values() if granularity.name in method.granularities]

    def _table(self, granularity):
        lines = [[method.title, *(tables.figure_text(values, 3) for _, values in self._points(method, granularity))]
                 for method in self._methods_of(granularity)]
        return tables.markdown([granularity.title, *(f"{100 * s:g} %" for s in granularity.sparsities)], lines)

    def _panel(self, granularity, dense):
        series = [svg.Series(method.title, [(x, *tables.mean_and_spread(values))
                                            for x, values in self._points(method, granularity) if values])
                  for method in self._methods_of(granularity) if method.plotted]
        if dense:
            level = tables.mean_and_spread(dense)[0]
            series.append(svg.Series("dense", [(x, level, 0) for x in range(len(granularity.sparsities))], dashed=True))
        return svg.Panel(granularity.title, [f"{100 * s:g} %" for s in granularity.sparsities], "sparsity (perplexity)", series)
