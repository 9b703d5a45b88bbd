"""Block pruning: SequentialAttention++ beside what it is compared with, at the same epochs and effort of
tuning, over sparsities, block sizes and data."""

import dataclasses
import pathlib

from studies import cells, methods, running, svg, tables, tasks, tuning
from studies.rows import Rows

NAME = "block_pruning"
OURS = "sequential_attention_pp"
RIVALS = tuple(name for name, method in methods.METHODS.items() if method.prunes and name != OURS)


def in_order(found):
    """Seed by seed, task by task, so that a study cut short has every method."""
    order = list(tasks.TASKS)
    return sorted(found, key=lambda cell: (cell.seed, order.index(cell.task)))


class BlockPruning:
    """The study on the tasks of the given names, or on all."""

    def __init__(self, results, digests, only=()):
        self._results = results
        self._digests = digests
        self._tasks = [task for task in tasks.TASKS.values() if not only or task.name in only]
        self._tuning_rows = Rows(results / f"{NAME}.tuning.jsonl")
        self._rows = Rows(results / f"{NAME}.jsonl")

    def guess(self, cell):
        return tasks.TASKS[cell.task].seconds

    def _tuned_tasks(self):
        """The tasks that are tuned, for which others may be that take their settings over."""
        names = dict.fromkeys(task.tuned_on or task.name for task in self._tasks)
        return [tasks.TASKS[name] for name in names]

    def settings(self, task, method):
        """What tuning chose, or the first of the grid while it has not."""
        choice = tuning.choose(tasks.TASKS[task.tuned_on or task.name], method, self._tuning_rows, self._digests)
        return choice[0] if choice else method.grid[0]

    def tuning_stage(self):
        found = [cell for task in self._tuned_tasks() for method in methods.METHODS.values()
                 for cell in tuning.tuning_cells(task, method)]
        return running.Stage("tuning", in_order(found), self._tuning_rows)

    def tuning_stage_of(self, method):
        """As tuning_stage(), of one method."""
        def stage():
            whole = self.tuning_stage()
            return dataclasses.replace(whole, cells=[cell for cell in whole.cells if cell.method == method.name])

        return stage

    def main_stage(self):
        found = [cell for task in self._tasks for method in methods.METHODS.values()
                 for cell in self._cells(task, method)]
        return running.Stage("study", in_order(found), self._rows)

    def stages(self):
        """Functions that make the stages; each may be called once the one before has run."""
        return [self.tuning_stage, self.main_stage]

    def _cells(self, task, method):
        settings = self.settings(task, method)
        if not method.prunes:
            seeds = range(max([task.seeds, *task.more_seeds.values()]))
            return [tuning.make_cell(task, method, settings, seed, None, None) for seed in seeds]
        return [tuning.make_cell(task, method, settings, seed, sparsity, block)
                for sparsity in task.sparsities for block in task.blocks for seed in task.seeds_at(sparsity)]

    def finish(self):
        """Keeps what was chosen, beside the rows."""
        chosen = tuning.choices(self._tuned_tasks(), methods.METHODS.values(), self._tuning_rows, self._digests)
        if chosen:
            tuning.write_choices(self._results / f"{NAME}.chosen.json", chosen)

    # ---- The report ------------------------------------------------------------------------------

    def _rows_of(self, task, method_name, sparsity=None, block=None):
        method = methods.METHODS[method_name]
        keys = [cells.key_of(cell, self._digests) for cell in self._cells(task, method)
                if (sparsity is None or cell.sparsity == sparsity) and (block is None or cell.block == block)]
        return self._rows.of(keys)

    def report(self, images):
        """The text of the report; plots are written to the folder `images`."""
        parts = [self._head()]
        for task in self._tasks:
            if any(self._rows_of(task, name) for name in methods.METHODS):
                parts.append(self._task_report(task, images))
        parts.append(self._tests())
        return "\n".join(part for part in parts if part)

    def _head(self):
        stage = self.main_stage()
        keys = [cells.key_of(cell, self._digests) for cell in stage.cells]
        rows = self._rows.of(keys)
        machines = sorted({row["determinism"]["isa"] for row in tables.succeeded_rows(rows)})
        return (f"`tools/study {NAME}`: {len(rows)} of {len(keys)} jobs, one thread each, instruction sets: "
                f"{', '.join(machines) or 'none'}. Figures are of the test data, mean ± standard deviation over "
                "seeds (number of seeds). Each method has the same epochs, and six settings were tried of each "
                f"on a part of the training data (`bench/studies/results/{NAME}.chosen.json`).\n")

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
            for metric in ("accuracy", "log_loss"):
                some = [task for task in self._tasks if task.metric == metric]
                for title, group in [*((task.title, [task]) for task in some), ("all together", some)]:
                    for sparsity in sorted({s for task in group for s in task.sparsities}):
                        lines += self._test_line(rival, title, group, sparsity, metric)
        if not lines:
            return ""
        head = ["SequentialAttention++ less", "data", "sparsity", "metric", "pairs", "mean", "t test",
                "permutation by seeds", "permutation by pairs"]
        return ("### Paired tests\n\nDifferences of SequentialAttention++ and another method in the same cell with the "
                "same seed, all block sizes together; positive is better. Two-sided p: of Student's t over the means of "
                "seeds, and of permutations of signs, of whole seeds (of one task) or of single pairs, which "
                "counts pairs of one seed as independent. Not corrected for the number of tests.\n\n"
                + tables.markdown(head, lines))

    def _test_line(self, rival, title, group, sparsity, metric):
        sign = -1 if metric == "log_loss" else 1
        found = []
        for task in group:
            found += tables.pairs(self._rows_of(task, OURS, sparsity), self._rows_of(task, rival, sparsity), metric)
        result = tables.compare([(group, sign * difference) for group, difference in found])
        if result is None:
            return []
        return [[methods.METHODS[rival].title, title, f"{100 * sparsity:g} %", metric,
                 f"{result['pairs']} ({result['groups']} seeds)", f"{result['mean']:+.4f}",
                 tables.p_text(result["t_p"]), tables.p_text(result["group_p"]), tables.p_text(result["pair_p"])]]
