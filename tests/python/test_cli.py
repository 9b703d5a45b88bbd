"""The topiary command from outside: models that onnx accepts, exit codes, JSON."""

import json
import subprocess

import numpy
import onnx
import pytest

ARCHITECTURES = {"fashion_cnn": (1, 28, 28), "lenet": (1, 28, 28), "mlp": (784,),
                 "resnet20": (3, 32, 32), "sa_mlp": (784,)}
# Nobody listens on port 1 of this machine.
NOBODY = "--server=127.0.0.1:1"


@pytest.fixture(name="topiary")
def fixture_topiary(binary):
    def run(*arguments):
        return subprocess.run([binary("//client/cli:topiary"), *arguments], capture_output=True,
                              text=True, timeout=60, check=False)
    return run


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_new_model_passes_the_checker_of_onnx(topiary, tmp_path, name):
    path = tmp_path / "m.onnx"
    assert topiary("model", "new", name, str(path)).returncode == 0
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_new_model_runs_in_onnx_runtime_at_any_batch(topiary, tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "m.onnx"
    assert topiary("model", "new", name, str(path), "--classes=7").returncode == 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        x = numpy.ones((batch, *ARCHITECTURES[name]), numpy.float32)
        (y,) = session.run(["output"], {"input": x})
        assert y.shape == (batch, 7)
        assert numpy.isfinite(y).all() and (numpy.abs(y) < 100).all() and y.std() > 0


@pytest.mark.parametrize("arguments, code", [
    ((), 2),
    (("prune",), 2),
    (("submit", "--no-such-flag"), 2),
    (("submit", "--model=/no/such.onnx", "--train=/no/such.npz"), 4),
    (("model", "new", "vgg", "/tmp/x.onnx"), 2),
    (("list", "--state=done"), 2),
    (("get", "j1", NOBODY), 3),
    (("report", "/no/such/report.json"), 4),
    (("convert", "/no/such/model.safetensors", "/tmp/x.onnx"), 4),
    (("convert", __file__, "/tmp/x.onnx"), 2),
    (("shrink", "/no/such/model.onnx", "/tmp/x.onnx"), 4),
    (("shrink", __file__, "/tmp/x.onnx"), 2),
    (("--help",), 0),
    (("submit", "--help"), 0),
])
def test_exit_codes_are_those_of_the_readme(topiary, arguments, code):
    assert topiary(*arguments).returncode == code


def test_errors_in_json_are_one_document_on_standard_error(topiary):
    done = topiary("--output=json", "list", NOBODY)
    assert done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "UNAVAILABLE"
    assert error["exit_code"] == done.returncode == 3


@pytest.mark.parametrize("arguments", [("--output=json", "submit", "--no-such-flag"),
                                       ("--output", "json", "prune"),
                                       ("--output=json", "report")])
def test_mistakes_in_the_command_line_are_json_too_when_asked_for(topiary, tmp_path, arguments):
    if arguments[1] == "report":
        arguments = (*arguments[:2], str(tmp_path / "bad.json"))
        (tmp_path / "bad.json").write_text("[]")
    done = topiary(*arguments)
    assert done.stdout == ""
    assert json.loads(done.stderr)["error"]["exit_code"] == done.returncode == 2


def test_an_unreachable_server_is_answered_with_what_to_do(topiary):
    done = topiary("list", NOBODY)
    assert "topiary-server" in done.stderr and "--server" in done.stderr


def test_the_environment_names_the_server(binary):
    done = subprocess.run([binary("//client/cli:topiary"), "list"], capture_output=True, text=True,
                          env={"TOPIARY_SERVER": "127.0.0.1:1"}, timeout=60, check=False)
    assert "127.0.0.1:1" in done.stderr
