"""Fixtures of the Python tests (tests/python, examples). tools/test runs them after the build."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

REPO = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def repo():
    """The repository's root."""
    return REPO


@pytest.fixture(scope="session")
def binary():
    """A function from a Bazel label such as //server:topiary-server to the path of what was built.

    $TOPIARY_BIN names the folder to look in; bazel-bin by default.
    """
    folder = pathlib.Path(os.environ.get("TOPIARY_BIN") or REPO / "bazel-bin")

    def find(label):
        package, name = label.removeprefix("//").split(":")
        path = folder / package / name
        assert path.exists(), f"{path} is missing: run bazel build {label}"
        return path

    return find


@pytest.fixture(scope="session")
def wait_for_ports():
    """A function that returns the lines of the file that a server writes once it listens.

    If it does not, the test fails with the server's log.
    """

    def wait(path, process, log, seconds=60):
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert process.poll() is None, f"ended with {process.returncode}\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{path} was not written\n{log.read_text()}"
            time.sleep(0.01)  # There is nothing to be notified by.
        return path.read_text().splitlines()

    return wait


@pytest.fixture(scope="module")
def service(binary, wait_for_ports, tmp_path_factory):
    """Addresses of a coordinator and of a worker: gRPC, its metrics, the worker's metrics."""
    folder = tmp_path_factory.mktemp("service")
    with open(folder / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [binary("//server:topiary-server"), "--listen", "127.0.0.1:0", "--metrics-listen",
             "127.0.0.1:0", "--data-dir", folder / "server", "--port-file", folder / "server.ports"],
            stdout=log, stderr=log)
        address, metrics = wait_for_ports(folder / "server.ports", server, folder / "log")
        worker = subprocess.Popen(
            [binary("//worker:topiary-worker"), "--coordinator", address, "--data-dir",
             folder / "worker", "--metrics-listen", "127.0.0.1:0", "--port-file",
             folder / "worker.ports", "--threads", "1"], stdout=log, stderr=log)
        (worker_metrics,) = wait_for_ports(folder / "worker.ports", worker, folder / "log")
        yield {"address": address, "server_metrics": metrics, "worker_metrics": worker_metrics}
        for process in (worker, server):
            process.terminate()
        for process in (worker, server):
            assert process.wait(60) == 0


@pytest.fixture(scope="session")
def promtool():
    """Prometheus' tool for checking metrics."""
    return REPO / "third_party/.installed/prometheus/bin/promtool"


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """Makes topiary.v1 and google.rpc importable: classes and gRPC stubs made by protoc."""
    folder = tmp_path_factory.mktemp("stubs")
    googleapis = REPO / "third_party/.installed/googleapis"
    ours = sorted(str(p) for p in (REPO / "proto/topiary/v1").glob("*.proto"))
    google = [str(googleapis / "google" / name)
              for name in ("rpc/code.proto", "rpc/status.proto", "rpc/error_details.proto",
                           "api/field_behavior.proto", "api/resource.proto")]
    command = ["protoc", f"-I{REPO / 'proto'}", f"-I{googleapis}", f"--python_out={folder}"]
    subprocess.run([*command, *google, *ours], check=True)
    subprocess.run([*command[:-1], "--plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin",
                    f"--grpc_out={folder}", *ours], check=True)
    sys.path.insert(0, str(folder))
    return folder
