"""Tuning: the same small effort for each method, on a part of the training data that is held out."""

import json

from studies import cells, tasks

VALIDATION_FRACTION = 1 / 6
FIRST_SEED = 100  # The seeds of tuning are in no table.

def tuning_cells(task, method):
    """One cell for each setting of the method's grid at each (sparsity, block) that the task is tuned at, with
    seeds one after the other; none sees test data."""
    return [make_cell(task, method, settings, FIRST_SEED + i, sparsity, block, VALIDATION_FRACTION)
            for i, (sparsity, block) in enumerate(task.tuned_at) for settings in method.grid]


def make_cell(task, method, settings, seed, sparsity, block, validation_fraction=None):
    if not method.prunes:
        sparsity = block = None
    spec = tasks.make_spec(task, method.spec(settings), seed, task.learning_rate * settings["learning_rate"],
                           sparsity, block, validation_fraction)
    return cells.Cell(task=task.name, method=method.name, seed=seed, spec=spec, sparsity=sparsity,
                      block=block, settings=settings)


def choose(task, method, rows, digests):
    """The setting of the method's grid with the best mean on the validation data, the earlier one of
    equals, and those means in the order of the grid. None where a row is missing.

    A setting of which a job failed is never better than one of which none did.
    """
    found = []
    for settings in method.grid:
        keys = [cells.key_of(cell, digests) for cell in tuning_cells(task, method) if cell.settings == settings]
        measured = rows.of(keys)
        if len(measured) < len(keys):
            return None
        values = [row["metrics"][task.metric] for row in measured if row["state"] == "SUCCEEDED"]
        found.append(sum(values) / len(values) if len(values) == len(keys) else None)
    best = 0
    for i, value in enumerate(found):
        if value is not None and (found[best] is None or task.better(value, found[best])):
            best = i
    return method.grid[best], found


def choices(some_tasks, methods, rows, digests):
    """Of each task and method what was chosen, as it is kept under git; only what is complete."""
    result = {}
    for task in some_tasks:
        for method in methods:
            choice = choose(task, method, rows, digests)
            if choice is not None:
                settings, means = choice
                result.setdefault(task.name, {})[method.name] = {
                    "settings": settings,
                    "validation": {"metric": task.metric, "grid": list(method.grid),
                                   "means": [None if mean is None else round(mean, 6) for mean in means]}}
    return result


def write_choices(path, result):
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
