"""The processes as an operator sees them: health, reflection, metrics, refusals at the start."""

import subprocess
import urllib.request

import grpc
import pytest

SERVING = b"\x08\x01"


def call(address, method, request=b""):
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(method)(request, timeout=20)


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("name", ["", "topiary.v1.CompressionService", "topiary.v1.ArtifactService",
                                  "topiary.v1.WorkerService", "topiary.v1.AdminService"])
def test_every_service_says_that_it_serves(service, name):
    request = b"\x0a" + bytes([len(name)]) + name.encode() if name else b""
    assert call(service["address"], "/grpc.health.v1.Health/Check", request) == SERVING


def test_the_health_of_an_unknown_service_is_not_found(service):
    with pytest.raises(grpc.RpcError) as error:
        call(service["address"], "/grpc.health.v1.Health/Check", b"\x0a\x01x")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(service):
    with grpc.insecure_channel(service["address"]) as channel:
        method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        answers = channel.stream_stream(method)(iter([b"\x3a\x01*"]), timeout=20)
        assert b"topiary.v1.CompressionService" in next(answers)


@pytest.mark.parametrize("process", ["server_metrics", "worker_metrics"])
def test_promtool_finds_no_fault_with_the_metrics(service, process, promtool):
    text = scrape(service[process])
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True,
                             capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("process, names", [
    ("server_metrics", ["topiary_jobs", "topiary_job_queue_wait_seconds_bucket",
                        "topiary_lease_events_total", "grpc_server_handled_total",
                        "topiary_build_info", "process_start_time_seconds"]),
    ("worker_metrics", ["topiary_training_steps_total", "topiary_training_loss", "topiary_slots",
                        "topiary_build_info", "process_resident_memory_bytes"]),
])
def test_the_metrics_that_dashboards_need_are_there_from_the_start(service, process, names):
    exported = {line.split("{")[0].split(" ")[0] for line in scrape(service[process]).splitlines()}
    assert set(names) <= exported


def test_a_second_coordinator_on_the_same_port_is_refused(service, binary, tmp_path):
    done = subprocess.run([binary("//server:topiary-server"), "--listen", service["address"],
                           "--metrics-listen", "", "--data-dir", tmp_path / "data"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert service["address"] in done.stderr


@pytest.mark.parametrize("flags, named", [
    (["--data-dir", ""], "data-dir"),
    (["--data-dir", "x", "--lease-duration", "soon"], "lease-duration"),
    (["--data-dir", "x", "--listen", "nowhere"], "listen"),
    (["--data-dir", "x", "--no-such-flag"], "no-such-flag"),
])
def test_a_wrong_flag_is_named_at_the_start(binary, flags, named):
    done = subprocess.run([binary("//server:topiary-server"), *flags], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2
    assert named in done.stderr
