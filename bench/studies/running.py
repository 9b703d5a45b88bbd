"""Runs cells through the service, as many at a time as there are workers, until the time is up."""

import concurrent.futures
import contextlib
import dataclasses
import threading
import time

from studies import artifacts, cells, service

POLL_SECONDS = 1
KILLS_PER_JOB = 3  # At most, over all.


@dataclasses.dataclass
class Stage:
    """Cells that run under the same conditions, and the rows they leave."""

    name: str
    cells: list
    rows: object
    server_flags: tuple = ()
    worker_flags: tuple = ()
    seconds_between_kills: float = 0  # 0: workers are left alone.
    models_needed: bool = False  # Jobs whose model is to be kept, and is not here, run again.


class Estimate:
    """How long a job takes on one core: as those before it did, or what `guess(cell)` says."""

    def __init__(self, rows, guess):
        self._seconds = {}
        self._guess = guess
        for row in rows:
            self.add(row)

    def add(self, row):
        if "seconds" in row:
            for group in ((row["task"], row["method"]), row["task"]):
                self._seconds.setdefault(group, []).append(row["seconds"])

    def __call__(self, cell):
        for group in ((cell.task, cell.method), cell.task):
            if group in self._seconds:
                return sum(self._seconds[group]) / len(self._seconds[group])
        return self._guess(cell)


def open_cells(stage, digests):
    """The cells that have no row yet."""
    return [cell for cell in stage.cells if cells.key_of(cell, digests) not in stage.rows.by_key]


def describe(cell, row):
    words = [cell.task, cell.method]
    if cell.sparsity:
        words.append(f"{100 * cell.sparsity:g} %" + (f" of {cell.block}x{cell.block}" if cell.block else ""))
    words += [f"seed {cell.seed}", *([cell.run] if cell.run else [])]
    if "metrics" not in row:
        return " ".join(words) + f": {row['state']}: {row['error']}"
    metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(row["metrics"].items()))
    return " ".join(words) + f": {metrics}, {row['seconds']:.0f} s"


class Runner:
    """Runs stages one after the other. `deadline` is on time.monotonic(), or None."""

    def __init__(self, artifacts, folder, workers, deadline):
        self._artifacts = artifacts
        self._folder = folder
        self._workers = workers
        self._deadline = deadline
        self._mutex = threading.Lock()
        self._uploaded = set()

    def _time_for(self, seconds):
        return self._deadline is None or time.monotonic() + seconds < self._deadline

    def run(self, stage, estimate):
        """Runs the open cells of a stage. Returns whether none is left."""
        for name in dict.fromkeys(name for cell in stage.cells for name in cells.references(cell.spec)):
            if not name.startswith(artifacts.TRAINED):
                self._artifacts.ensure(name)
        waiting = open_cells(stage, self._artifacts.digests)
        if stage.models_needed:
            waiting += [cell for cell in stage.cells if cell not in waiting and not self._artifacts.has(cell.keep)]
        if not waiting:
            return True
        self._uploaded = set()
        print(f"study: {stage.name}: {len(waiting)} of {len(stage.cells)} jobs to run", flush=True)
        running = service.Service(self._folder, self._workers, stage.server_flags, stage.worker_flags)
        with running, concurrent.futures.ThreadPoolExecutor(self._workers + 1) as pool:
            try:
                with self._kills(stage, running):
                    self._run_cells(stage, estimate, waiting, running, pool)
            finally:
                running.stop()  # Before the pool waits for its threads.
        return not open_cells(stage, self._artifacts.digests)

    @contextlib.contextmanager
    def _kills(self, stage, running):
        if not stage.seconds_between_kills:
            yield
            return
        most = KILLS_PER_JOB * len(stage.cells)
        with service.Killer(running, stage.seconds_between_kills, most, seed=len(stage.rows.by_key)) as killer:
            yield
        print(f"study: {stage.name}: workers were killed {killer.kills} times", flush=True)

    def _run_cells(self, stage, estimate, waiting, running, pool):
        waiting = list(reversed(waiting))
        jobs = {}
        while waiting or jobs:
            while waiting and len(jobs) <= self._workers and self._time_for(estimate(waiting[-1])):
                cell = waiting.pop()
                jobs[pool.submit(self._run_cell, cell, running)] = cell
            if not jobs or not self._time_for(0):
                print("study: the time is up; the same command goes on later", flush=True)
                return
            done, _ = concurrent.futures.wait(jobs, POLL_SECONDS, concurrent.futures.FIRST_COMPLETED)
            if not stage.seconds_between_kills:
                running.check()
            for job in done:
                cell, row = jobs.pop(job), job.result()
                if row["key"] not in stage.rows.by_key:
                    stage.rows.append(row)
                estimate.add(row)
                left = sum(map(estimate, waiting)) / self._workers / 3600
                print(f"study: {describe(cell, row)} ({len(waiting) + len(jobs)} left, {left:.1f} h)", flush=True)

    def _run_cell(self, cell, running):
        for name in cells.references(cell.spec):
            with self._mutex:
                if name not in self._uploaded:
                    kind = "data" if name.startswith("data/") else "model"
                    running.upload(self._artifacts.ensure(name), kind)
                    self._uploaded.add(name)
        digests = self._artifacts.digests
        keep = self._artifacts.kept_path(cell.keep) if cell.keep else None
        job, report = running.run_job(cells.resolve(cell.spec, digests), keep)
        if keep is not None and report is not None:
            self._artifacts.ensure(cell.keep)
        return cells.make_row(cells.key_of(cell, digests), cell, job, report)
