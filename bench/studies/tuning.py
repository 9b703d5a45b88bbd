"""Tuning: the same small effort for each method, on a part of the training data that is held out."""

import json

from studies import cells, running
from studies.rows import Rows

VALIDATION_FRACTION = 1 / 6
FIRST_SEED = 100  # The seeds of tuning are in no table.


def choose(found, grid, task, rows, digests):
    """The setting of `grid` with the best mean over the cells `found`, the earlier one of equals, and those means in
    the order of the grid. None where a row is missing.

    A setting of which a job failed is never better than one of which none did.
    """
    means = []
    for settings in grid:
        keys = [cells.key_of(cell, digests) for cell in found if cell.settings == settings]
        measured = rows.of(keys)
        if len(measured) < len(keys):
            return None
        values = [row["metrics"][task.metric] for row in measured if row["state"] == "SUCCEEDED"]
        means.append(sum(values) / len(values) if len(values) == len(keys) else None)
    best = 0
    for i, value in enumerate(means):
        if value is not None and (means[best] is None or task.better(value, means[best])):
            best = i
    return grid[best], means


class TunedStudy:
    """A study whose methods are tuned first, each on the same number of settings.

    Subclasses set `name`, give the tasks and methods, and make the cells: tuning_cells(task, method, split)
    and cells(task, method, settings).
    """

    name = ""

    def __init__(self, results, digests, tasks, methods, only=()):
        self._results = results
        self._all_tasks = tasks
        self.digests = digests
        self.tasks = [task for task in tasks.values() if not only or task.name in only]
        self.methods = methods
        self.tuning_rows = Rows(results / f"{self.name}.tuning.jsonl")
        self.rows = Rows(results / f"{self.name}.jsonl")

    def guess(self, cell):
        """Seconds that a job of this cell takes, before one has run."""
        return self._all_tasks[cell.task].seconds

    def tuned_tasks(self):
        """The tasks that are tuned, for which others may be that take their settings over."""
        names = dict.fromkeys(task.tuned_on or task.name for task in self.tasks)
        return [self._all_tasks[name] for name in names]

    def splits_of(self, task):
        """The splits of the task's data, each of which is tuned by itself: the training data of one have test data
        of others among them. (None,): there is but one."""
        del task
        return (None,)

    def _choice(self, task, method, split):
        return choose(self.tuning_cells(task, method, split), method.grid, task, self.tuning_rows, self.digests)

    def settings(self, task, method, split=None):
        """What tuning chose, or the first of the grid while it has not."""
        choice = self._choice(self._all_tasks[task.tuned_on or task.name], method, split)
        return choice[0] if choice else method.grid[0]

    def tuning_stage(self):
        found = [cell for task in self.tuned_tasks() for method in self.methods.values()
                 for split in self.splits_of(task) for cell in self.tuning_cells(task, method, split)]
        return running.Stage("tuning", self.in_order(found), self.tuning_rows)

    def main_stage(self):
        found = [cell for task in self.tasks for method in self.methods.values() for cell in self.cells_of(task, method)]
        return running.Stage("study", self.in_order(found), self.rows)

    def stages(self):
        """Functions that make the stages; each may be called once the one before has run."""
        return [self.tuning_stage, self.main_stage]

    def in_order(self, found):
        """Seed by seed, task by task, so that a study cut short has every method."""
        order = list(self._all_tasks)
        return sorted(found, key=lambda cell: (cell.seed, order.index(cell.task)))

    def cells_of(self, task, method):
        """The cells of the tables, at the tuned settings."""
        return self.cells(task, method, self.settings(task, method))

    def rows_of(self, task, method, keep=lambda cell: True):
        """The rows of those cells that `keep` wants."""
        keys = [cells.key_of(cell, self.digests) for cell in self.cells_of(task, method) if keep(cell)]
        return self.rows.of(keys)

    def choices(self):
        """Of each task and method what was chosen (a list where the data have splits), as it is kept under git; only
        what is complete, of all tasks, whichever the study was asked to run."""
        result = {}
        for task in self._all_tasks.values():
            if task.tuned_on:
                continue
            for method in self.methods.values():
                found = [self._choice(task, method, split) for split in self.splits_of(task)]
                if all(found):
                    entries = [self._entry(task, method, *choice) for choice in found]
                    result.setdefault(task.name, {})[method.name] = entries if len(entries) > 1 else entries[0]
        return result

    @staticmethod
    def _entry(task, method, settings, means):
        return {"settings": settings,
                "validation": {"metric": task.metric, "grid": list(method.grid),
                               "means": [None if mean is None else round(mean, 6) for mean in means]}}

    def finish(self):
        """Keeps what was chosen, beside the rows."""
        chosen = self.choices()
        path = self._results / f"{self.name}.chosen.json"
        text = json.dumps(chosen, indent=1, sort_keys=True) + "\n"
        if chosen and not (path.exists() and path.read_text(encoding="utf-8") == text):
            path.write_text(text, encoding="utf-8")
