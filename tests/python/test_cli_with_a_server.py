"""The topiary command against a coordinator and a worker that run: what it prints, writes and exits with."""

import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import termios
import time
import urllib.request

import numpy
import onnx
import onnxruntime
import pytest

EXAMPLES = 40
LONG = ("--method", "dense", "--steps", "1000000000")


@pytest.fixture(scope="module", name="files")
def fixture_files(binary, tmp_path_factory):
    """A folder with a small untrained network and data that it can learn."""
    folder = tmp_path_factory.mktemp("files")
    random = numpy.random.default_rng(1)
    labels = random.integers(0, 3, EXAMPLES)
    inputs = random.random((EXAMPLES, 12), numpy.float32) + labels[:, None].astype(numpy.float32)
    numpy.savez(folder / "train.npz", x=inputs, y=labels)
    numpy.savez(folder / "wrong.npz", x=inputs, y=labels + 7)
    subprocess.run([binary("//client/cli:topiary"), "model", "new", "mlp", folder / "model.onnx",
                    "--input-shape", "12", "--hidden", "32", "--classes", "3"], check=True)
    return folder


@pytest.fixture(scope="module", name="command")
def fixture_command(service, binary):
    """The words of a command to the running coordinator."""

    def words(*arguments):
        return [str(word) for word in (binary("//client/cli:topiary"), "--server",
                                       service["address"], *arguments)]

    return words


@pytest.fixture(scope="module", name="topiary")
def fixture_topiary(command):
    """Runs a command to its end, which must be with the exit code `code`."""

    def run(*arguments, code=0):
        done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="module", name="submit")
def fixture_submit(topiary, files):
    """Submits a job on the files and returns what the command did."""

    def run(*arguments, data="train.npz", code=0):
        return topiary("submit", "--model", files / "model.onnx", "--train", files / data, *arguments,
                       code=code)

    return run


def prune(*more):
    return ("--sparsity", "0.5", "--block", "4x4", "--min-blocks", "2", "--epochs", "20", *more)


def as_json(done):
    return json.loads(done.stdout)


def wait_for_state(topiary, job, state):
    for _ in range(600):
        if as_json(topiary("--output=json", "get", job))["state"] == state:
            return
        time.sleep(0.1)  # `topiary watch` is what is tested elsewhere.
    pytest.fail(f"{job} has not become {state}")


def wait_for_worker(topiary, prefix, process):
    """The name of the worker, once it has reported to the coordinator."""
    for _ in range(600):
        for worker in as_json(topiary("--output=json", "workers"))["workers"]:
            if worker["name"].startswith(prefix):
                return worker["name"]
        assert process.poll() is None, f"ended with {process.returncode}"
        time.sleep(0.1)
    pytest.fail(f"no {prefix} has reported")


def test_a_job_from_its_submission_to_its_end_and_out_of_the_list(topiary, submit, tmp_path):
    name = submit(*prune("--label", "team=a")).stdout.strip()
    job = name.rsplit("/", 1)[1]
    watched = topiary("--output=json", "watch", job, "--download", tmp_path / "watched")
    events = [json.loads(line) for line in watched.stdout.splitlines()]
    states = [event["state_change"]["state"] for event in events if "state_change" in event]
    assert states == ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    shown = as_json(topiary("--output=json", "get", name, "--download", tmp_path / "got"))
    assert shown["state"] == "JOB_STATE_SUCCEEDED"
    for file in shown["result"]["files"]:
        digests = {hashlib.sha256((tmp_path / folder / file["filename"]).read_bytes()).hexdigest()
                   for folder in ("watched", "got")}
        assert digests == {file["digest"]}
    onnx.checker.check_model(onnx.load(str(tmp_path / "got/model.onnx")), full_check=True)

    report = as_json(topiary("--output=json", "report", job))
    assert report == json.loads((tmp_path / "got/report.json").read_text())
    assert "live blocks" in topiary("report", job).stdout

    listed = topiary("list", "--state", "succeeded", "--label", "team=a").stdout
    assert job in listed
    assert job not in topiary("list", "--label", "team=b").stdout
    assert job not in topiary("list", "--state", "running").stdout
    topiary("delete", job)
    assert job not in topiary("list").stdout
    topiary("get", job, code=4)


def test_submit_can_wait_for_the_end_and_fetch_the_result(submit, tmp_path):
    done = submit(*prune("--wait", "--download", tmp_path))
    assert "succeeded" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.shrunk.onnx",
                                                          "model.safetensors", "report.json"}


def test_a_result_that_could_not_be_written_is_said_before_anything_is_submitted(topiary, submit, files):
    def jobs():  # Their names: how long a running one has taken changes.
        return [line.split()[0] for line in topiary("list").stdout.splitlines()]

    before = jobs()
    submit(*prune("--download", files / "model.onnx"), code=2)
    assert jobs() == before


def test_a_sweep_is_submitted_shown_and_fetched_with_its_children(topiary, submit, tmp_path):
    options = [word for word in prune("--download", tmp_path) if word not in ("--sparsity", "0.5")]
    done = submit(*options, "--method", "magnitude_one_shot", "--sweep-sparsity", "0.25,0.5",
                  "--sweep-seed", "1,2")
    assert re.search(r"children +4: 4 succeeded", done.stdout)
    assert "mean over seeds" in done.stdout and "on the front" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    sweep = report["sweep"].rsplit("/", 1)[1]
    assert [row["seed"] for row in report["children"]] == [1, 2, 1, 2]
    for number in range(1, 5):
        assert (tmp_path / f"{sweep}-000{number}" / "model.safetensors").exists()
    assert f"{sweep}-0001" not in topiary("list").stdout
    assert f"{sweep}-0001" in topiary("list", "--children").stdout
    children = as_json(topiary("--output=json", "list", "--sweep", sweep))["jobs"]
    assert [child["name"].rsplit("/", 1)[1] for child in children] == [
        f"{sweep}-000{number}" for number in range(1, 5)]
    assert re.search(rf"sweep +{sweep}", topiary("get", f"{sweep}-0002").stdout)
    assert "mean over seeds" in topiary("report", sweep).stdout
    topiary("delete", f"{sweep}-0001")
    topiary("delete", sweep)
    topiary("get", f"{sweep}-0002", code=4)


def test_features_are_selected_and_the_network_on_them_comes_back(topiary, files, tmp_path):
    random = numpy.random.default_rng(3)
    labels = random.integers(0, 3, 300)
    inputs = random.random((300, 12), numpy.float32)
    inputs[:, 7] += 3 * labels  # All that tells the classes apart.
    numpy.savez(tmp_path / "d.npz", x=inputs, y=labels)
    done = topiary("submit", "--model", files / "model.onnx", "--train", tmp_path / "d.npz", "--method",
                   "feature_selection", "--features", "2", "--epochs", "40", "--optimizer", "adam",
                   "--learning-rate", "0.01", "--download", tmp_path / "out")
    job = re.search(r"job +(\S+)", done.stdout).group(1)
    assert "2 of 12 features, by sequential_attention" in topiary("report", job).stdout
    report = json.loads((tmp_path / "out/report.json").read_text())
    chosen = [column for feature in report["feature_selection"]["features"] for column in feature["columns"]]
    assert len(chosen) == 2 and chosen[0] == 7, "what the labels depend on comes first"
    session = onnxruntime.InferenceSession(str(tmp_path / "out/model.onnx"),
                                           providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.shape[1:] == [12], "the network still takes whole examples"
    (scores,) = session.run(None, {given.name: inputs})
    assert numpy.mean(scores.argmax(1) == labels) > 0.9
    others = numpy.where(numpy.isin(numpy.arange(12), chosen), inputs, 99).astype(numpy.float32)
    assert numpy.array_equal(scores, session.run(None, {given.name: others})[0]), "others are not read"


def test_a_wrong_sweep_is_refused_with_the_path_of_the_entry(submit):
    options = [word for word in prune() if word not in ("--sparsity", "0.5")]
    done = submit(*options, "--sweep-sparsity", "0.5,1.5", code=5)
    assert "spec.sweep.sparsities[1]" in done.stderr


def test_the_same_request_id_submits_one_job(submit):
    first = submit(*prune("--request-id", "once")).stdout
    assert submit(*prune("--request-id", "once")).stdout == first


def test_a_model_of_two_files_is_uploaded_trained_and_returned(topiary, files, tmp_path):
    model = onnx.load(str(files / "model.onnx"))
    onnx.save_model(model, str(tmp_path / "two.onnx"), save_as_external_data=True,
                    location="two.onnx.data", size_threshold=0)
    assert len(onnx.load(str(tmp_path / "two.onnx"), load_external_data=False).SerializeToString()) < 2000
    for name in ("two", "one"):
        given = tmp_path / "two.onnx" if name == "two" else files / "model.onnx"
        topiary("submit", "--model", given, "--train", files / "train.npz", "--threads", "1", *prune(),
                "--download", tmp_path / name)
    digests = {hashlib.sha256((tmp_path / name / "model.safetensors").read_bytes()).hexdigest()
               for name in ("two", "one")}
    assert len(digests) == 1, "where the weights lie changes nothing"


def test_what_pytorch_exports_by_default_is_pruned(topiary, repo, tmp_path):
    exported = repo / "worker/model/testdata/torch_dynamo.onnx"  # Its weights lie beside it.
    (shape,) = [i.type.tensor_type.shape for i in onnx.load(str(exported), False).graph.input]
    random = numpy.random.default_rng(2)
    examples = random.random((60, *[d.dim_value for d in shape.dim[1:]]), numpy.float32)
    numpy.savez(tmp_path / "d.npz", x=examples, y=random.integers(0, 2, 60))
    topiary("submit", "--model", exported, "--train", tmp_path / "d.npz", "--download", tmp_path / "out",
            "--sparsity", "0.5", "--block", "2x2", "--min-blocks", "4", "--epochs", "2")
    session = onnxruntime.InferenceSession(str(tmp_path / "out/model.onnx"),
                                           providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: examples})
    assert scores.shape[0] == len(examples) and numpy.isfinite(scores).all()
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert any(layer["pruned"] for layer in report["layers"])


def test_a_job_that_fails_is_exit_code_1_with_the_reason(submit):
    done = submit("--method", "dense", "--wait", data="wrong.npz", code=1)
    assert "failed" in done.stdout and "label" in done.stdout


def test_an_interrupted_watch_is_130_and_the_job_goes_on_until_it_is_cancelled(topiary, submit, command):
    job = submit(*LONG).stdout.strip()
    try:
        wait_for_state(topiary, job, "JOB_STATE_RUNNING")
        topiary("delete", job, code=5)
        with subprocess.Popen(command("--output=json", "watch", job), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as watch:
            assert "state_change" in json.loads(watch.stdout.readline())
            watch.send_signal(signal.SIGINT)
            assert watch.wait(60) == 130
        assert as_json(topiary("--output=json", "get", job))["state"] == "JOB_STATE_RUNNING"
    finally:
        topiary("cancel", job)  # It would keep the worker from the other tests.
    ended = topiary("watch", job, code=1)
    assert "cancelled" in ended.stdout


def test_what_the_server_refuses_is_5_with_the_fields_path(submit):
    done = submit("--sparsity", "1.5", code=5)
    assert "spec.target.sparsity" in done.stderr
    done = submit("--method", "evaluate", "--epochs", "3", "--clip-gradient-norm", "1", code=5)
    assert "spec.task.epochs" in done.stderr and "spec.task.clip_gradient_norm" in done.stderr


def test_artifacts_go_up_and_down_and_away(topiary, tmp_path):
    (tmp_path / "a").write_bytes(b"some bytes " * 1000)
    digest = hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()
    assert topiary("artifact", "put", tmp_path / "a").stdout.split()[0] == digest
    assert digest in json.dumps(as_json(topiary("--output=json", "artifact", "list", "--kind", "data")))
    assert digest not in topiary("artifact", "list", "--kind", "model").stdout
    topiary("artifact", "get", digest, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    with open(tmp_path / f"c.{digest[:12]}.partial", "w", encoding="utf-8") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        busy = topiary("artifact", "get", digest, tmp_path / "c", code=6)
        assert "another process" in busy.stderr
    topiary("artifact", "rm", digest)
    topiary("artifact", "get", digest, tmp_path / "d", code=4)
    topiary("artifact", "get", "short", tmp_path / "d", code=2)
    topiary("artifact", "put", tmp_path, code=2)
    topiary("artifact", "put", tmp_path / "none", code=4)


def test_on_a_terminal_transfers_and_jobs_draw_one_line_over_and_over(command, submit, tmp_path):
    (tmp_path / "a").write_bytes(numpy.random.default_rng(3).bytes(3 << 20))
    job = submit(*prune()).stdout.strip()
    for arguments, drawn in ((("artifact", "put", tmp_path / "a"), "100 %"),
                             (("watch", job), "%")):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 90))
        done = subprocess.run(command(*arguments), stdout=subprocess.PIPE, stderr=theirs, timeout=120,
                              check=False)
        os.close(theirs)
        text = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert done.returncode == 0, text
        lines = [line for line in re.split("[\r\n]+", text) if line.endswith("\x1b[K")]
        assert any(drawn in line for line in lines), text
        assert all(len(line.removesuffix("\x1b[K")) < 90 for line in lines)


def test_workers_are_listed_and_one_that_is_drained_takes_no_more_work(topiary, service, binary,
                                                                       wait_for_ports, tmp_path):
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [binary("//worker:topiary-worker"), "--coordinator", service["address"], "--data-dir",
             tmp_path / "worker", "--worker-name", "second", "--metrics-listen", "127.0.0.1:0",
             "--port-file", tmp_path / "ports"], stdout=log, stderr=log)
    try:
        wait_for_ports(tmp_path / "ports", process, tmp_path / "log")
        second = wait_for_worker(topiary, "workers/second", process)
        drained = as_json(topiary("--output=json", "workers", "--drain", second))["workers"]
        assert [worker["drain_requested"] for worker in drained] == [True]
        assert "draining" in topiary("workers").stdout
        topiary("workers", "--drain", "nobody", code=4)
    finally:
        process.terminate()
    assert process.wait(60) == 0


def metric(service, name):
    with urllib.request.urlopen(f"http://{service['worker_metrics']}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split(" ")[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def test_the_workers_metrics_count_the_examples_that_were_there(submit, service):
    samples, steps = (metric(service, f"topiary_training_{name}_total") for name in ("samples", "steps"))
    # Ten epochs of fewer examples than a batch; a tenth of them is held out.
    submit("--sparsity", "0.5", "--block", "4x4", "--min-blocks", "2", "--epochs", "10", "--batch",
           "1000", "--wait")
    assert metric(service, "topiary_training_steps_total") - steps == 10
    assert metric(service, "topiary_training_samples_total") - samples == 10 * EXAMPLES * 0.9
    assert 0.3 < metric(service, "topiary_sparsity_ratio") < 0.6
