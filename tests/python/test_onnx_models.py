"""ONNX in and out, by ONNX's own checker and ONNX Runtime: what the importer reads and the exporter writes computes the
same as the file it came from."""

import json
import shutil
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="session")
def roundtrip(binary):
    """Imports a model, settles its shapes for a batch, exports it; returns what was found."""

    def call(source, target, batch=5):
        done = subprocess.run([binary("//worker/model/testing:onnx_roundtrip"), str(source), str(target), str(batch)],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call


@pytest.fixture(scope="session")
def testdata(repo):
    return repo / "worker/model/testdata"


def compute(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def make_model(nodes, weights, x_dims, y_dims, opset):
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_dims)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8,
                             producer_name="test")


def random(*dims):
    return np.random.default_rng(0).standard_normal(dims).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def make_node(operator, inputs, output="y", **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


# Name: nodes, weights, dims of x (without the batch), rank of y.
OPERATORS = {
    "gemm": ([make_node("Gemm", ["x", "w", "b"], transB=1, alpha=0.5, beta=2.0)],
             {"w": random(3, 4), "b": random(3)}, [4], 2),
    "matmul": ([make_node("MatMul", ["x", "w"])], {"w": random(4, 3)}, [2, 4], 3),
    "conv_groups": ([make_node("Conv", ["x", "w", "b"], group=2, strides=[2, 1], pads=[1, 0, 1, 2], dilations=[1, 2])],
                    {"w": random(4, 1, 3, 3), "b": random(4)}, [2, 7, 7], 4),
    "conv_1d_same": ([make_node("Conv", ["x", "w"], auto_pad="SAME_LOWER", strides=[2])],
                     {"w": random(3, 2, 4)}, [2, 9], 3),
    "max_pool_ceil": ([make_node("MaxPool", ["x"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}, [2, 8, 8], 4),
    "average_pool": ([make_node("AveragePool", ["x"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
                     {}, [2, 6, 6], 4),
    "batch_norm": ([make_node("BatchNormalization", ["x", "s", "b", "m", "v"], epsilon=1e-3)],
                   {"s": random(3), "b": random(3), "m": random(3), "v": np.abs(random(3))}, [3, 4], 3),
    "clip_one_bound": ([make_node("Clip", ["x", "", "max"])], {"max": np.float32(0.25)}, [4], 2),
    "transpose": ([make_node("Transpose", ["x"], perm=[0, 2, 1])], {}, [3, 4], 3),
    "squeeze": ([make_node("Squeeze", ["x", "a"])], {"a": ints(1)}, [1, 4], 2),
    "unsqueeze": ([make_node("Unsqueeze", ["x", "a"])], {"a": ints(1, -1)}, [4], 4),
    "concat": ([make_node("Relu", ["x"], "r"), make_node("Concat", ["x", "r"], axis=-1)], {}, [4], 2),
    "log_softmax": ([make_node("LogSoftmax", ["x"])], {}, [4], 2),
    "dropout": ([make_node("Dropout", ["x", "r", "t"])], {"r": np.float32(0.9), "t": np.bool_(False)}, [4], 2),
    "flatten_by_shape": ([make_node("Shape", ["x"], "s"), make_node("Gather", ["s", "zero"], "n"),
                          make_node("Unsqueeze", ["n", "axis"], "n1"),
                          make_node("Concat", ["n1", "rest"], "target", axis=0), make_node("Reshape", ["x", "target"])],
                         {"zero": np.int64(0), "axis": ints(0), "rest": ints(-1)}, [3, 4], 2),
    "scale_constant": ([helper.make_node("Constant", [], ["half"], value_float=0.5), make_node("Mul", ["x", "half"])],
                       {}, [4], 2),
}


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_computes_the_same_after_the_round_trip(roundtrip, tmp_path, name, opset):
    nodes, weights, x_dims, y_rank = OPERATORS[name]
    model = make_model(nodes, weights, ["batch", *x_dims], [None] * y_rank, opset)
    (tmp_path / "in.onnx").write_bytes(model.SerializeToString())
    found = roundtrip(tmp_path / "in.onnx", tmp_path / "out.onnx")
    written = onnx.load(str(tmp_path / "out.onnx"))
    if opset <= onnx.defs.onnx_opset_version():
        onnx.checker.check_model(written, full_check=True)
    x = random(5, *x_dims)
    y = compute(tmp_path / "out.onnx", x)
    np.testing.assert_array_equal(y, compute(tmp_path / "in.onnx", x))
    assert found["outputs"] == ["[" + ",".join(map(str, y.shape)) + "]"], "shape inference agrees with ONNX Runtime"


@pytest.mark.parametrize("name", ["dynamo", "training", "preserve"])
def test_what_pytorch_exports_is_read_and_computes_the_same(roundtrip, testdata, tmp_path, name):
    found = roundtrip(testdata / f"torch_{name}.onnx", tmp_path / "out.onnx")
    assert [layer for layer in found["layers"] if "weight" in layer] == [
        "stem.0.weight", "conv1.weight", "conv2.weight", "down.0.weight", "head.weight"]
    written = onnx.load(str(tmp_path / "out.onnx"))
    if name != "dynamo":  # IR 10 and opset 20 are newer than Debian's checker.
        onnx.checker.check_model(written, full_check=True)
    expected = np.load(testdata / "expected.npz")
    np.testing.assert_allclose(compute(tmp_path / "out.onnx", expected["x"]), expected[name], rtol=1e-4, atol=1e-5)


def test_every_batch_norm_trains_statistics_of_its_own(roundtrip, testdata, tmp_path):
    found = roundtrip(testdata / "torch_preserve.onnx", tmp_path / "out.onnx")
    assert len(found["statistics"]) == 8
    assert len(set(found["statistics"])) == 8


def test_a_training_export_becomes_an_inference_model(roundtrip, testdata, tmp_path):
    roundtrip(testdata / "torch_training.onnx", tmp_path / "out.onnx")
    for node in onnx.load(str(tmp_path / "out.onnx")).graph.node:
        if node.op_type == "BatchNormalization":
            assert len(node.output) == 1
            assert not [a for a in node.attribute if a.name == "training_mode" and a.i]
        if node.op_type == "Dropout":
            assert len(node.input) <= 2


def test_names_come_back_in_their_order(roundtrip, testdata, tmp_path):
    roundtrip(testdata / "torch_dynamo.onnx", tmp_path / "out.onnx")
    before = onnx.load(str(testdata / "torch_dynamo.onnx"), load_external_data=False).graph
    after = onnx.load(str(tmp_path / "out.onnx")).graph
    for part in ("node", "initializer", "input", "output"):
        assert [v.name for v in getattr(after, part)] == [v.name for v in getattr(before, part)]
    assert after.input[0].type.tensor_type.shape.dim[0].dim_param


def test_a_round_trip_of_a_round_trip_changes_no_byte(roundtrip, testdata, tmp_path):
    for name in ("dynamo", "training", "preserve"):
        roundtrip(testdata / f"torch_{name}.onnx", tmp_path / "once.onnx")
        roundtrip(tmp_path / "once.onnx", tmp_path / "twice.onnx")
        assert (tmp_path / "once.onnx").read_bytes() == (tmp_path / "twice.onnx").read_bytes()


def test_a_model_without_its_external_data_says_what_is_missing(binary, testdata, tmp_path):
    shutil.copy(testdata / "torch_dynamo.onnx", tmp_path / "alone.onnx")
    done = subprocess.run([binary("//worker/model/testing:onnx_roundtrip"), tmp_path / "alone.onnx", tmp_path / "out.onnx"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "torch_dynamo.onnx.data" in done.stderr
    assert not (tmp_path / "out.onnx").exists()
