"""Ablations of SequentialAttention++: what its parts are worth, and what longer training is. All else is as
block_pruning has it, the tuned settings too."""

import dataclasses
import pathlib

from studies import block_pruning, cells, methods, running, svg, tables, tasks
from studies.rows import Rows

NAME = "ablations"
METHOD = methods.METHODS[block_pruning.OURS]
TASKS = ("isolet_mlp",)
SPARSITIES, BLOCKS, SEEDS = (0.95, 0.98), (16, 32), 5
BASE = "as in block_pruning"


def without_sparsification(settings):
    """The tuned plan, the time of its sparsification phase halved between the dense and the sparse one."""
    (_, dense), (_, sparsification), (_, sparse) = methods.PHASES[settings["pruning"]]
    return methods.plan([("DENSE", dense + sparsification / 2), ("SPARSE", sparse + sparsification / 2)])


# The plan of the paper for ImageNet, its sparsification phases left out: that of AC/DC.
PAPER_WITHOUT = methods.plan([("DENSE", 0.1), *(6 * [("SPARSE", 0.05), ("DENSE", 0.05)]), ("SPARSE", 0.05),
                              ("DENSE", 0.1), ("SPARSE", 0.15)])

# Name -> (fields in which the method's part of the spec differs, or a function from the tuned settings to
# them; the variant it is compared with).
VARIANTS = {
    BASE: ({}, None),
    "no sparsification phase": (without_sparsification, BASE),
    "paper's plan": ({"preset": "PAPER_IMAGENET"}, BASE),
    "paper's plan, no sparsification phase": (PAPER_WITHOUT, "paper's plan"),
    "c = 2": ({"schedule_constant": 2}, BASE),
    "c = 8": ({"schedule_constant": 8}, BASE),
    "one softmax over all layers": ({"softmax": "GLOBAL"}, BASE),
    "optimizer not reset": ({"reset_optimizer_at_phases": False}, BASE),
    "logits at the weights' rate": ({"logits_learning_rate_multiplier": 1}, BASE),
    "attention not clipped": ({"clip_attention": False}, BASE),
}

# A network that block_pruning trains for few epochs, and methods that it compares there, with three times the epochs.
LONGER_TASK, LONGER, LONGER_SEEDS, LONGER_SPARSITY = tasks.TASKS["fashion_cnn"], 3, 3, 0.98
LONGER_METHODS = (METHOD.name, "magnitude_gradual", "ac_dc", "random")


def variant_of(options, variant, settings):
    """The method's options as the variant has them."""
    changes, _ = VARIANTS[variant]
    if callable(changes):
        changes = changes(settings)
    plans = {"preset", "phases"}
    dropped = plans if plans & changes.keys() else set()
    return {**{name: value for name, value in options.items() if name not in dropped}, **changes}


class Ablations:
    """The study; its settings are those that block_pruning's tuning has chosen."""

    def __init__(self, results, digests, only=()):
        self._digests = digests
        self._tasks = [tasks.TASKS[name] for name in TASKS if not only or name in only]
        self._rows = Rows(results / f"{NAME}.jsonl")
        self._tuned = block_pruning.BlockPruning(results, digests, TASKS)
        self._longer = block_pruning.BlockPruning(results, digests, (LONGER_TASK.name,))
        self._with_longer = not only or LONGER_TASK.name in only

    def guess(self, cell):
        task = tasks.TASKS[cell.task]
        return task.seconds * cell.spec["task"]["epochs"] / task.epochs

    def stages(self):
        tuning = [self._tuned.tuning_stage_of(METHOD.name), self._longer.tuning_stage_of(*LONGER_METHODS)]
        return [*tuning, self.main_stage]

    def main_stage(self):
        found = [cell for task in self._tasks for variant in VARIANTS for cell in self._cells(task, variant)]
        if self._with_longer:
            found += [cell for name in LONGER_METHODS for cell in self._longer_cells(name, LONGER)]
        return running.Stage("study", self._tuned.in_order(found), self._rows)

    def finish(self):
        self._tuned.finish()

    def _cells(self, task, variant):
        settings = self._tuned.settings(task, METHOD)
        spec = {METHOD.name: variant_of(METHOD.spec(settings)[METHOD.name], variant, settings)}
        return [cells.Cell(task=task.name, method=METHOD.name, seed=seed, sparsity=sparsity, block=block,
                           settings={**settings, "variant": variant},
                           spec=tasks.make_spec(task, spec, seed, task.learning_rate * settings["learning_rate"],
                                                sparsity, block))
                for sparsity in SPARSITIES for block in BLOCKS for seed in range(SEEDS)]

    def _longer_cells(self, name, times):
        """The jobs of a method, trained so many times as long as in block_pruning."""
        method = methods.METHODS[name]
        settings = self._longer.settings(LONGER_TASK, method)
        task = dataclasses.replace(LONGER_TASK, epochs=times * LONGER_TASK.epochs)
        return [block_pruning.make_cell(task, method, settings, seed, LONGER_SPARSITY, block)
                for block in BLOCKS for seed in range(LONGER_SEEDS)]

    def _longer_rows(self, name, times, block=None):
        """Those of block_pruning's own length are block_pruning's own."""
        rows = self._longer.rows if times == 1 else self._rows
        return rows.of([cells.key_of(cell, self._digests) for cell in self._longer_cells(name, times)
                        if block in (None, cell.block)])

    def _rows_of(self, task, variant, sparsity=None, block=None):
        return self._rows.of([cells.key_of(cell, self._digests) for cell in self._cells(task, variant)
                              if sparsity in (None, cell.sparsity) and block in (None, cell.block)])

    def report(self, images):
        parts = [f"`tools/study {NAME}`: mean ± standard deviation of the test accuracy over seeds (number of seeds). "
                 "Difference: to the variant named, over all cells and seeds of all data sets shown, with two-sided p of "
                 "the t test over the means of seeds and of permutations of their signs.\n"]
        shown = [task for task in self._tasks if self._rows_of(task, BASE)]
        for task in shown:
            columns = [(s, b) for s in SPARSITIES for b in BLOCKS]
            lines = [[variant, *(tables.cell_text(self._rows_of(task, variant, s, b), task.metric) for s, b in columns)]
                     for variant in VARIANTS]
            parts.append(f"### {task.title}\n\n" + tables.markdown(
                ["variant", *(f"{100 * s:g} %, {b}x{b}" for s, b in columns)], lines))
        parts.append(self._differences())
        parts.append(self._longer_report())
        if shown:
            path = pathlib.Path(images) / f"study_{NAME}.svg"
            path.write_text(svg.to_svg([self._panel(task) for task in shown]), encoding="utf-8")
            parts.append(f"![Ablations](images/{path.name})\n")
        return "\n".join(parts)

    def _differences(self):
        lines = []
        for variant, (_, base) in VARIANTS.items():
            if base is None:
                continue
            for sparsity in SPARSITIES:
                found = [pair for task in self._tasks
                         for pair in tables.pairs(self._rows_of(task, variant, sparsity),
                                                  self._rows_of(task, base, sparsity), task.metric)]
                result = tables.compare(found)
                if result is not None:
                    lines.append([f"{variant}, less {base}", f"{100 * sparsity:g} %", str(result["pairs"]),
                                  f"{result['mean']:+.4f}", tables.p_text(result["t_p"]),
                                  tables.p_text(result["group_p"])])
        return tables.markdown(["difference", "sparsity", "pairs", "mean", "t test", "permutation"], lines)

    def _longer_report(self):
        """How the methods compare at either length: SequentialAttention++, and each other less it."""
        if not self._longer_rows(METHOD.name, LONGER):
            return ""
        lengths = [(1, f"{LONGER_TASK.epochs} epochs"), (LONGER, f"{LONGER * LONGER_TASK.epochs} epochs")]
        lines = []
        for name in LONGER_METHODS:
            line = [methods.METHODS[name].title]
            for times, _ in lengths:
                line += [tables.cell_text(self._longer_rows(name, times, block), LONGER_TASK.metric) for block in BLOCKS]
                result = tables.compare(tables.pairs(self._longer_rows(METHOD.name, times), self._longer_rows(name, times),
                                                     LONGER_TASK.metric)) if name != METHOD.name else None
                line.append(f"{result['mean']:+.4f} (p {tables.p_text(result['t_p'])})" if result else "")
            lines.append(line)
        head = [title for _, length in lengths
                for title in (*(f"{length}, {block}x{block}" for block in BLOCKS), f"{METHOD.title} ahead by")]
        return (f"### Longer training: {LONGER_TASK.title}, {100 * LONGER_SPARSITY:g} %\n\nThe shorter jobs are those of "
                "block_pruning; p of the t test over the means of seeds.\n\n"
                + tables.markdown([LONGER_TASK.metric, *head], lines))

    def _panel(self, task):
        columns = [(s, b) for s in SPARSITIES for b in BLOCKS]
        series = []
        for variant in VARIANTS:
            points = []
            for x, (sparsity, block) in enumerate(columns):
                found = tables.mean_and_spread(tables.values_of(self._rows_of(task, variant, sparsity, block), task.metric))
                if found is not None:
                    points.append((x, *found))
            series.append(svg.Series(variant, points))
        return svg.Panel(task.title, [f"{100 * s:g} %, {b}x{b}" for s, b in columns], f"cell ({task.metric})", series)
