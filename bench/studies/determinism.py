"""Determinism: the same spec, data and seed give the same bits, on every run, and also where workers are
killed at random while they train."""

from studies import cells, methods, running, tables, tasks
from studies.rows import Rows

NAME = "determinism"
TASK = "isolet_mlp"
SPARSITIES, BLOCK, SEEDS = (0.95,), 16, 2
EPOCHS = 60  # So that workers die in the middle of jobs, not between them.
RUNS = ("first", "second", "killed")
SECONDS_BETWEEN_KILLS = 5
# A silent worker is given up after three seconds, and a job that was lost goes on after a tenth.
SERVER_FLAGS = ("--lease-duration=3s", "--report-interval=500ms")
WORKER_FLAGS = ("--checkpoint-interval=1s",)
RETRY = {"max_attempts": 100, "initial_backoff": "0.1s", "maximum_backoff": "1s"}


class Determinism:
    """Each method on each seed in three runs, in the last of which workers are killed."""

    def __init__(self, results, digests, only=()):
        del only  # There is one task.
        self._digests = digests
        self._rows = Rows(results / f"{NAME}.jsonl")

    def guess(self, cell):
        return 30 if cell.run == "killed" else 12

    def stages(self):
        return [lambda run=run: self._stage(run) for run in RUNS]

    def finish(self):
        pass

    def _stage(self, run):
        kills = SECONDS_BETWEEN_KILLS if run == "killed" else 0
        return running.Stage(run, self._cells(run), self._rows, SERVER_FLAGS, WORKER_FLAGS, kills)

    def _cells(self, run):
        task = tasks.TASKS[TASK]
        found = []
        for method in methods.METHODS.values():
            settings = method.grid[0]
            for sparsity in SPARSITIES if method.prunes else (None,):
                for seed in range(SEEDS):
                    block = BLOCK if method.prunes else None
                    spec = tasks.make_spec(task, method.spec(settings), seed, task.learning_rate, sparsity, block)
                    spec = {**spec, "retry": RETRY, "task": {**spec["task"], "epochs": EPOCHS}}
                    found.append(cells.Cell(task=TASK, method=method.name, seed=seed, spec=spec, sparsity=sparsity,
                                            block=block, settings=settings, run=run))
        return found

    def report(self, images):
        """A line for each method: its table in each run, and of how many models the bits are the same."""
        del images
        by_run = {run: self._rows.of([cells.key_of(cell, self._digests) for cell in self._cells(run)]) for run in RUNS}
        lines = [self._line(name, by_run) for name in methods.METHODS]
        attempts = sum(row["attempts"] - 1 for row in by_run["killed"])
        return (f"`tools/study {NAME}`: ISOLET, {100 * SPARSITIES[0]:g} % of blocks of {BLOCK}x{BLOCK}, {EPOCHS} epochs, each "
                "job three times; in the third run a worker is killed with SIGKILL on average every "
                f"{SECONDS_BETWEEN_KILLS} s, and its jobs go on elsewhere from their checkpoints ({attempts} attempts were "
                "lost so). Same bits: models of the later runs whose SHA-256 is that of the first; same key: of "
                "those, how many were computed under the same determinism key.\n\n"
                + tables.markdown(["method", *(f"accuracy, {run}" for run in RUNS), "same bits", "same key"], lines))

    def _line(self, name, by_run):
        mine = {run: [row for row in rows if row["method"] == name] for run, rows in by_run.items()}
        first = {row["seed"]: row for row in mine["first"]}
        later = [row for run in RUNS[1:] for row in mine[run] if row["seed"] in first]
        same = sum("model" in row and row["model"] == first[row["seed"]].get("model") for row in later)
        keys = sum(row.get("determinism") == first[row["seed"]].get("determinism") for row in later)
        return [methods.METHODS[name].title,
                *(tables.cell_text(mine[run], "accuracy", digits=6) for run in RUNS),
                f"{same} of {len(later)}", f"{keys} of {len(later)}"]
