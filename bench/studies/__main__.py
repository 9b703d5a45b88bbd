"""tools/study: see its --help."""

import argparse
import contextlib
import fcntl
import os
import pathlib
import signal
import sys
import time

from studies import (ablations, artifacts, block_pruning, cells, datasets, determinism, documents, feature_selection,
                     fisher_attention, running, service, transformer)

STUDIES = {
    ablations.NAME: ablations.Ablations,
    block_pruning.NAME: block_pruning.BlockPruning,
    determinism.NAME: determinism.Determinism,
    feature_selection.NAME: feature_selection.FeatureSelection,
    fisher_attention.NAME: fisher_attention.FisherAttention,
    transformer.NAME: transformer.Transformer,
}
RESULTS = pathlib.Path(__file__).parent / "results"
WORK = service.REPO / "out/studies"


def show_list(study, digests, workers):
    """How many jobs there are, how many are done, and how long the others will take."""
    total = 0
    for make_stage in study.stages():
        stage = make_stage()
        estimate = running.Estimate(stage.rows.by_key.values(), study.guess)
        left = running.open_cells(stage, digests)
        for task in dict.fromkeys(cell.task for cell in stage.cells):
            mine = [cell for cell in stage.cells if cell.task == task]
            seconds = sum(estimate(cell) for cell in left if cell.task == task)
            total += seconds
            done = len(mine) - sum(cell.task == task for cell in left)
            print(f"{stage.name:<10} {task:<20} {done:5} of {len(mine):5} jobs done, "
                  f"{seconds / workers / 3600:5.2f} h left")
    print(f"{total / workers / 3600:.1f} h left on {workers} workers")


def count_text(study, digests):
    """How many of the jobs of which a report is have run; those of tuning are not counted."""
    done = total = 0
    for stage in [make_stage() for make_stage in study.stages()]:
        if stage.name != "tuning":
            total += len(stage.cells)
            done += len(stage.rows.of([cells.key_of(cell, digests) for cell in stage.cells]))
    return f"{done} of {total} jobs have run.\n\n"


def write_report(name, study, digests):
    text = count_text(study, digests) + study.report(service.REPO / "docs/images")
    path = service.REPO / "docs/results.md"
    document = documents.replace_section(path.read_text(encoding="utf-8"), f"Study: {name}", text)
    path.write_text(document, encoding="utf-8")
    print(text)


@contextlib.contextmanager
def alone():
    """Refuses a second study in the same folder, which would empty the first one's. Processes inherit the
    lock, so that those count which a killed study left behind."""
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / "lock", "w", encoding="utf-8") as file:
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"study: another study runs in {WORK}, or its coordinator and workers still do: end them first")
        yield


def run(study, files, arguments):
    deadline = time.monotonic() + 3600 * arguments.hours if arguments.hours else None
    runner = running.Runner(files, WORK / "service", arguments.workers, deadline)
    for make_stage in study.stages():
        stage = make_stage()
        estimate = running.Estimate(stage.rows.by_key.values(), study.guess)
        finished = runner.run(stage, estimate)
        study.finish()
        if not finished:
            return
    print("study: complete; --report makes the tables")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/study", add_help=False)
    parser.add_argument("name", choices=STUDIES)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--hours", type=float)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", action="append", default=[])
    return parser.parse_args(arguments)


def main():
    arguments = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    files = artifacts.Artifacts(WORK / "artifacts", RESULTS / "artifacts.json")
    study = STUDIES[arguments.name](RESULTS, files.digests, arguments.only)
    tasks = {cell.task for cell in STUDIES[arguments.name](RESULTS, files.digests).stages()[-1]().cells}
    if unknown := set(arguments.only) - tasks:
        sys.exit(f"study: --only: no task is called {', '.join(sorted(unknown))}; there are {', '.join(sorted(tasks))}")
    try:
        if arguments.list:
            show_list(study, files.digests, arguments.workers)
        elif arguments.report:
            write_report(arguments.name, study, files.digests)
        else:
            with alone():
                run(study, files, arguments)
    except (service.ServiceError, datasets.DataMissing) as error:
        sys.exit(f"study: {error}")
    except KeyboardInterrupt:
        sys.exit("study: interrupted; the same command goes on")


if __name__ == "__main__":
    main()
