"""Block pruning: SequentialAttention++ beside what it is compared with, at the same epochs and effort of
tuning, over sparsities, block sizes and data."""

import dataclasses
import pathlib

from studies import cells, methods, svg, tables, tasks, tuning

NAME = "block_pruning"
OURS = "sequential_attention_pp"
RIVALS = tuple(name for name, method in methods.METHODS.items() if method.prunes and name != OURS)


def make_cell(task, method, settings, seed, sparsity, block, validation_fraction=None):
    """The job of a method with some settings; a method that does not prune has neither sparsity nor block."""
    if not method.prunes:
        sparsity = block = None
    spec = tasks.make_spec(task, method.spec(settings), seed, task.learning_rate * settings["learning_rate"],
                           sparsity, block, validation_fraction)
    return cells.Cell(task=task.name, method=method.name, seed=seed, spec=spec, sparsity=sparsity,
                      block=block, settings=settings)


class BlockPruning(tuning.TunedStudy):
    """The study on the tasks of the given names, or on all."""

    name = NAME

    def __init__(self, results, digests, only=()):
        super().__init__(results, digests, tasks.TASKS, methods.METHODS, only)

    def tuning_cells(self, task, method, split=None):
        """One cell for each setting of the method's grid at each (sparsity, block) that the task is tuned
        at, each of which has a seed of its own; none sees test data."""
        return [make_cell(task, method, settings, tuning.FIRST_SEED + i, sparsity, block, tuning.VALIDATION_FRACTION)
                for i, (sparsity, block) in enumerate(task.tuned_at) for settings in method.grid]

    def tuning_stage_of(self, *names):
        """As tuning_stage(), of the methods of these names."""
        def stage():
            whole = self.tuning_stage()
            return dataclasses.replace(whole, cells=[cell for cell in whole.cells if cell.method in names])

        return stage

    def cells(self, task, method, settings):
        if not method.prunes:
            seeds = range(max([task.seeds, *task.more_seeds.values()]))
            return [make_cell(task, method, settings, seed, None, None) for seed in seeds]
        return [make_cell(task, method, settings, seed, sparsity, block)
                for sparsity in task.sparsities for block in task.blocks for seed in task.seeds_at(sparsity)]

    # ---- The report ------------------------------------------------------------------------------

    def _rows_of(self, task, method_name, sparsity=None, block=None):
        return self.rows_of(task, self.methods[method_name],
                            lambda cell: sparsity in (None, cell.sparsity) and block in (None, cell.block))

    def report(self, images):
        """The text of the report; plots are written to the folder `images`."""
        parts = [self._head()]
        for task in self.tasks:
            if any(self._rows_of(task, name) for name in methods.METHODS):
                parts.append(self._task_report(task, images))
        parts.append(self._tests())
        return "\n".join(part for part in parts if part)

    def _head(self):
        stage = self.main_stage()
        keys = [cells.key_of(cell, self.digests) for cell in stage.cells]
        rows = self.rows.of(keys)
        machines = sorted({row["determinism"]["isa"] for row in tables.succeeded_rows(rows)})
        return (f"`tools/study {NAME}`: one thread each, instruction sets: "
                f"{', '.join(machines) or 'none'}. Figures are of the test data, mean ± standard deviation over "
                "seeds (number of seeds). Each method has the same epochs, and six settings were tried of each "
                f"on a part of the training data (`bench/studies/results/{NAME}.chosen.json`); MNIST has the settings of the "
                "CNN of Fashion-MNIST.\n")

    def _task_report(self, task, images):
        text = [f"### {task.title}\n", self._setup_text(task)]
        for metric in (task.metric, *task.more_metrics):
            text.append(self._table(task, metric))
        path = pathlib.Path(images) / f"study_{NAME}_{task.name}.svg"
        path.write_text(svg.to_svg(self._panels(task)), encoding="utf-8")
        text.append(f"![{task.title}](images/{path.name})\n")
        return "\n".join(text)

    def _setup_text(self, task):
        dense = tables.cell_text(self._rows_of(task, "dense"), task.metric)
        rows = [row for name in (OURS, *RIVALS) for row in self._rows_of(task, name)]
        left = {}
        for row in tables.succeeded_rows(rows):
            kept = tuple(sorted(name for name, blocks in row["layers"].items() if blocks == "dense"))
            left.setdefault(kept, set()).add(row["block"])
        layers = "; ".join(f"{', '.join(kept) or 'none'} (blocks of {', '.join(map(str, sorted(blocks)))})"
                           for kept, blocks in sorted(left.items()))
        return (f"{task.epochs} epochs, batch {task.batch_size}. {task.metric} of the dense network: {dense}. "
                f"Layers left dense: {layers}.\n")

    def _table(self, task, metric):
        columns = [(sparsity, block) for sparsity in task.sparsities for block in task.blocks]
        head = [f"{metric}, sparsity and block", *(f"{100 * s:g} %, {b}x{b}" for s, b in columns)]
        lines = [[methods.METHODS[name].title,
                  *(tables.cell_text(self._rows_of(task, name, s, b), metric) for s, b in columns)]
                 for name in (OURS, *RIVALS)]
        return tables.markdown(head, lines)

    def _panels(self, task):
        panels = []
        for block in task.blocks:
            series = []
            for name in (OURS, *RIVALS):
                points = []
                for x, sparsity in enumerate(task.sparsities):
                    found = tables.mean_and_spread(
                        tables.values_of(self._rows_of(task, name, sparsity, block), task.metric))
                    if found is not None:
                        points.append((x, *found))
                series.append(svg.Series(methods.METHODS[name].title, points))
            dense = tables.mean_and_spread(tables.values_of(self._rows_of(task, "dense"), task.metric))
            if dense is not None:
                series.append(svg.Series("dense", [(x, dense[0], 0) for x in range(len(task.sparsities))], dashed=True))
            panels.append(svg.Panel(f"{task.title}, blocks of {block}x{block}",
                                    [f"{100 * s:g} %" for s in task.sparsities], f"sparsity ({task.metric})", series))
        return panels

    def _tests(self):
        """SA++ less each rival, positive where SA++ is better."""
        lines = []
        for rival in RIVALS:
            lines += tables.paired_lines(
                methods.METHODS[rival].title, self.tasks,
                lambda task, sparsity, rival=rival: (self._rows_of(task, OURS, sparsity), self._rows_of(task, rival, sparsity)),
                lambda group: sorted({s for task in group for s in task.sparsities}))
        if not lines:
            return ""
        return ("### Paired tests\n\nDifferences of SequentialAttention++ and another method in the same cell with the "
                "same seed, all block sizes together; positive is better. Two-sided p: of Student's t over the means of "
                "seeds, and of permutations of signs, of whole seeds (of one task) or of single pairs, which "
                "counts pairs of one seed as independent. Not corrected for the number of tests.\n\n"
                + tables.paired_table("SequentialAttention++", lines))
