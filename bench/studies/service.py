"""A coordinator and workers of a study's own, and the one way in which a study uses them: the
`topiary` command."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 60
JOB_FAILED = 1  # The command's exit code for a job that failed.


class ServiceError(Exception):
    """A process that did not do what the study needs; the message has what it printed."""


class Stopped(Exception):
    """The service was stopped while a job ran."""


def binaries():
    """Where the programs are: $TOPIARY_BIN, or what Bazel built last."""
    return pathlib.Path(os.environ.get("TOPIARY_BIN") or REPO / "bazel-bin")


class Service:
    """A coordinator on a free port and `workers` workers of one thread each, in `folder`, which is
    emptied first but for what layers cost on this machine: plans, and with them the bits of a
    result, go by that. Used in a `with` statement; its processes end with it.

    `server_flags` and `worker_flags` are added to their command lines.
    """

    def __init__(self, folder, workers, server_flags=(), worker_flags=()):
        self._folder = folder
        self._count = workers
        self._server_flags = server_flags
        self._worker_flags = worker_flags
        self._mutex = threading.Lock()
        self._workers = []
        self._clients = set()
        self._server = None
        self._address = None
        self._stopped = False

    def __enter__(self):
        for name in ("server", "server.port", *(f"worker{i}" for i in range(self._count))):
            path = self._folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        port_file = self._folder / "server.port"
        self._server = self._start("server", binaries() / "server/topiary-server", "--listen=127.0.0.1:0",
                                   "--metrics-listen=none", f"--data-dir={self._folder / 'server'}",
                                   f"--port-file={port_file}", *self._server_flags)
        try:
            self._address = self._wait_for(port_file)
            self._workers = [self._start_worker(i) for i in range(self._count)]
        except BaseException:
            self._server.kill()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends all processes; jobs that run end with Stopped. What a study keeps is in its rows."""
        with self._mutex:
            self._stopped = True
            processes = [*self._clients, *self._workers, self._server]
            self._workers = []
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def check(self):
        """Raises ServiceError where a process has ended by itself."""
        with self._mutex:
            for process in [] if self._stopped else [self._server, *self._workers]:
                if process.poll() is not None:
                    raise ServiceError(f"{process.args[0]} ended with {process.returncode}: "
                                       f"see the logs in {self._folder}")

    def _start(self, name, *command):
        # Workers share the cores: threads that wait must not burn them.
        environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
        with open(self._folder / f"{name}.log", "ab") as log:
            try:
                return subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, env=environment,
                                        close_fds=False)  # A lock of the study is to be held as long as they live.
            except FileNotFoundError as error:
                raise ServiceError(f"{command[0]} is missing: build it, or set TOPIARY_BIN") from error

    def _start_worker(self, index):
        return self._start(f"worker{index}", binaries() / "worker/topiary-worker",
                           f"--coordinator={self._address}", "--threads=1", "--metrics-listen=none",
                           f"--worker-name=worker{index}", f"--data-dir={self._folder / f'worker{index}'}",
                           f"--layer-costs-dir={self._folder / 'layer-costs'}", *self._worker_flags)

    def _wait_for(self, port_file):
        deadline = time.monotonic() + START_SECONDS
        while not (port_file.exists() and port_file.read_text()):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"the coordinator does not listen: see {self._folder / 'server.log'}")
            time.sleep(0.02)
        return port_file.read_text().splitlines()[0]

    def upload(self, path, kind):
        """Sends a file; returns its digest."""
        code, output, errors = self._client("artifact", "put", "--kind", kind, path)
        if code != 0:
            raise ServiceError(f"{path} was not uploaded: exit code {code}:\n{errors}")
        return output.split()[0]

    def run_job(self, spec, keep=None):
        """Runs a job to its end. Returns it as JSON, and its report, or None where it failed. Its model.onnx
        is moved to the path `keep`, if that is given.

        The job and its files are deleted from the server then.
        """
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = pathlib.Path(name)
            (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
            code, output, errors = self._client(
                "--output", "json", "submit", "--spec", folder / "spec.json", "--download", folder / "result")
            if code not in (0, JOB_FAILED) or not output:
                raise ServiceError(f"a job was not run: exit code {code}:\n{errors}{spec}")
            job = json.loads(output.splitlines()[-1])
            report = None
            if code == 0:
                report = json.loads((folder / "result/report.json").read_text(encoding="utf-8"))
                if keep is not None:
                    keep.parent.mkdir(parents=True, exist_ok=True)
                    (folder / "result/model.onnx").replace(keep)
        self._client("delete", job["name"])
        return job, report

    def running_jobs(self):
        """The jobs that workers hold, as JSON."""
        code, output, errors = self._client("--output", "json", "list", "--state", "running")
        if code != 0:
            raise ServiceError(f"jobs were not listed: exit code {code}:\n{errors}")
        return json.loads(output).get("jobs", [])

    def validate(self, spec):
        """Has the coordinator check a spec (JSON, as text); ServiceError says what is wrong with it."""
        path = self._folder / "spec.json"
        path.write_text(spec, encoding="utf-8")
        code, _, errors = self._client("submit", "--validate-only", "--spec", path)
        if code != 0:
            raise ServiceError(f"the spec is refused: {errors}{spec}")

    def _client(self, *arguments):
        """Runs a `topiary` command; returns its exit code, its output and its errors."""
        command = [binaries() / "client/cli/topiary", "--server", self._address, *arguments]
        with self._mutex:
            if self._stopped:
                raise Stopped
            process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            self._clients.add(process)
        output, errors = process.communicate()
        with self._mutex:
            self._clients.discard(process)
            if self._stopped:
                raise Stopped
        return process.returncode, output, errors

    def kill_worker(self, index):
        """Ends a worker with SIGKILL and starts another in its place. Indices count on from the last to the
        first."""
        with self._mutex:
            if not self._workers:
                return
            index %= len(self._workers)
            self._workers[index].send_signal(signal.SIGKILL)
            self._workers[index].wait()
            self._workers[index] = self._start_worker(index)


class Killer:
    """Kills workers of a service while in a `with` statement: one after the other, so that none is spared, at
    random times, on average every `seconds`; `most` in all, so that the jobs end on a slow machine too."""

    def __init__(self, service, seconds, most, seed):
        self._service = service
        self._random = random.Random(seed)
        self._rate = 1 / seconds
        self._most = most
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.kills = 0

    def _run(self):
        while self.kills < self._most and not self._stop.wait(self._random.expovariate(self._rate)):
            self._service.kill_worker(self.kills)
            self.kills += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
