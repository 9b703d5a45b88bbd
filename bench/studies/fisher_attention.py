"""Fisher attention, Topiary's own method: frozen after tuning on training data that are held out, then
compared on fresh seeds with SequentialAttention++, gradual magnitude and PowerPropagation, and taken
apart."""

import dataclasses
import pathlib
from typing import Callable

from studies import block_pruning, cells, methods, running, svg, tables, tasks, tuning

NAME = "fisher_attention"
FIRST_SEED = 1000  # Those of tuning and of block_pruning are below.
TASKS = ("isolet_mlp", "fashion_mlp", "adult_mlp", "fashion_cnn")
SPARSITIES, BLOCKS = (0.95, 0.98), (16, 32)
TAKEN_APART = ("isolet_mlp", "fashion_mlp")  # Where the parts are looked at one by one too.
SEEDS, FEWER_SEEDS = 10, 3  # Of those, and of other tasks.
BEGIN, END = 0.05, 0.5  # The method's own defaults.

OURS = methods.Method(
    NAME, "Fisher attention", methods.product([{"logits_rate": 30}, {"logits_rate": 10}, {"logits_rate": 30, "end": 0.7}]),
    lambda s: {"fisher_attention": {"logits_learning_rate_multiplier": s["logits_rate"], "begin_fraction": BEGIN,
                                    "end_fraction": s.get("end", END)}})


def without_attention(settings):
    """The ranking alone."""
    return OURS.spec({**settings, "logits_rate": 0})


def ranked_by_attention(settings):
    """The same attention and the same stretch, blocks going by the attention: SequentialAttention++ with the
    phases, the rate and the optimizer of ours."""
    end = settings.get("end", END)
    phases = methods.plan([("DENSE", BEGIN), ("SPARSIFICATION", end - BEGIN), ("SPARSE", 1 - end)])
    return {"sequential_attention_pp": {**phases, "logits_learning_rate_multiplier": settings["logits_rate"],
                                        "reset_optimizer_at_phases": False, "clip_attention": False}}


def ranked_by_magnitude(settings):
    """Neither: gradual magnitude over the same stretch at the same learning rate."""
    return {"magnitude": {"gradual": {"begin_fraction": BEGIN, "end_fraction": settings.get("end", END)}}}


@dataclasses.dataclass(frozen=True)
class Part:
    """What is compared with ours at ours' own settings."""

    title: str
    spec: Callable[[dict], dict]


PARTS = {
    "without_attention": Part("without attention: Fisher information alone", without_attention),
    "ranked_by_attention": Part("ranked by attention", ranked_by_attention),
    "ranked_by_magnitude": Part("ranked by magnitude, without attention", ranked_by_magnitude),
}
# As block_pruning tunes them.
RIVALS = ("sequential_attention_pp", "magnitude_gradual", "power_propagation")


class FisherAttention(tuning.TunedStudy):
    """The study on those of its tasks that have the given names, or on all of them."""

    name = NAME

    def __init__(self, results, digests, only=()):
        some = {name: tasks.TASKS[name] for name in TASKS}
        super().__init__(results, digests, some, {NAME: OURS}, only)
        self._rivals = block_pruning.BlockPruning(results, digests, only or TASKS)

    def stages(self):
        return [self._rivals.tuning_stage_of(*RIVALS), self.tuning_stage, self.main_stage]

    def tuning_cells(self, task, method, split=None):
        return self._rivals.tuning_cells(task, method, split)

    def main_stage(self):
        found = [cell for task in self.tasks for name in self._names(task) for cell in self._cells(task, name)]
        return running.Stage("study", self.in_order(found), self.rows)

    def finish(self):
        super().finish()
        self._rivals.finish()

    @staticmethod
    def _names(task):
        """What is compared on a task: ours first."""
        return [NAME, *RIVALS, *(PARTS if task.name in TAKEN_APART else ())]

    @staticmethod
    def _title(name):
        for table in (PARTS, methods.METHODS):
            if name in table:
                return table[name].title
        return OURS.title

    def _cells(self, task, name):
        if name in RIVALS:
            method, settings = methods.METHODS[name], self._rivals.settings(task, methods.METHODS[name])
        else:
            settings = self.settings(task, OURS)
            method = OURS if name == NAME else dataclasses.replace(OURS, name=name, spec=PARTS[name].spec)
        seeds = SEEDS if task.name in TAKEN_APART else FEWER_SEEDS
        return [block_pruning.make_cell(task, method, settings, FIRST_SEED + i, sparsity, block)
                for sparsity in SPARSITIES for block in BLOCKS for i in range(seeds)]

    # ---- The report ------------------------------------------------------------------------------

    def _rows_of(self, task, name, sparsity=None, block=None):
        return self.rows.of([cells.key_of(cell, self.digests) for cell in self._cells(task, name)
                             if sparsity in (None, cell.sparsity) and block in (None, cell.block)])

    def report(self, images):
        """The text of the report; plots are written to the folder `images`."""
        done = [task for task in self.tasks if self._rows_of(task, NAME)]
        parts = [f"`tools/study {NAME}`: seeds from {FIRST_SEED} on, which neither tuning nor `block_pruning` has. Six settings were "
                 f"tried of each method on a part of the training data (`bench/studies/results/{NAME}.chosen.json` and "
                 "`block_pruning.chosen.json`). Figures are of the test data, mean ± standard deviation over seeds "
                 "(number of seeds).\n"]
        columns = [(sparsity, block) for sparsity in SPARSITIES for block in BLOCKS]
        for task in done:
            lines = [[self._title(name), *(tables.cell_text(self._rows_of(task, name, s, b), task.metric)
                                           for s, b in columns)] for name in self._names(task)]
            head = [f"{task.metric}, sparsity and block", *(f"{100 * s:g} %, {b}x{b}" for s, b in columns)]
            parts.append(f"### {task.title}\n\n" + tables.markdown(head, lines))
        parts.append(self._tests(done))
        path = pathlib.Path(images) / f"study_{NAME}.svg"
        path.write_text(svg.to_svg([self._panel(task, columns) for task in done]), encoding="utf-8")
        return "\n".join([*parts, f"![Fisher attention](images/{path.name})\n"])

    def _panel(self, task, columns):
        series = []
        for name in self._names(task):
            points = []
            for x, (sparsity, block) in enumerate(columns):
                found = tables.mean_and_spread(tables.values_of(self._rows_of(task, name, sparsity, block), task.metric))
                if found is not None:
                    points.append((x, *found))
            series.append(svg.Series(self._title(name), points))
        return svg.Panel(task.title, [f"{100 * s:g} %, {b}x{b}" for s, b in columns], f"cell ({task.metric})", series)

    def _tests(self, done):
        """Ours less each other, positive where ours is better."""
        lines = []
        for other in (*RIVALS, *PARTS):
            lines += tables.paired_lines(
                self._title(other), [task for task in done if other in self._names(task)],
                lambda task, sparsity, other=other: (self._rows_of(task, NAME, sparsity), self._rows_of(task, other, sparsity)),
                lambda group: SPARSITIES)
        return ("### Paired tests\n\nDifferences in the same cell with the same seed, both block sizes together; positive is "
                "better. Two-sided p, as in the study block_pruning.\n\n" + tables.paired_table(OURS.title, lines))
