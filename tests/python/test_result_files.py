"""What a job leaves behind, read by others: ONNX's checker, ONNX Runtime and a reader of our own in NumPy."""

import hashlib
import json
import struct
import subprocess

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest

CLASSES = 4
SHAPE = (1, 16, 16)


def make_images(count, seed):
    """Images whose class is the place of a bright square, under noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    images = random.random((count, *SHAPE), dtype=np.float32)
    for image, label in zip(images, labels):
        row, column = divmod(int(label), 2)
        image[0, 8 * row + 2 : 8 * row + 6, 8 * column + 2 : 8 * column + 6] += 0.8
    return images, labels


@pytest.fixture(scope="module")
def topiary(binary):
    """Runs the command line and returns its standard output; `run` gets its servers' places."""

    def call(*arguments):
        arguments = [str(argument) for argument in arguments]
        if arguments[0] in ("run", "bench"):
            arguments += ["--server-binary", str(binary("//server:topiary-server")),
                          "--worker-binary", str(binary("//worker:topiary-worker")), "--threads", "1"]
        done = subprocess.run([binary("//client/cli:topiary"), "--output", "json", *arguments],
                              capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="module")
def pruned(topiary, tmp_path_factory):
    """A folder with a pruned LeNet, its files, and the held-out data."""
    folder = tmp_path_factory.mktemp("pruned")
    for name, count, seed in (("train", 1500, 1), ("eval", 300, 2)):
        images, labels = make_images(count, seed)
        np.savez(folder / f"{name}.npz", x=images, y=labels)
    topiary("model", "new", "lenet", folder / "new.onnx", "--input-shape", "1,16,16",
            "--classes", CLASSES)
    topiary("run", "--model", folder / "new.onnx", "--train", folder / "train.npz",
            "--eval", folder / "eval.npz", "--sparsity", 0.8, "--block", "8x4", "--min-blocks", 20,
            "--epochs", 8, "--batch", 50, "--optimizer", "adamw", "--download", folder / "result")
    return folder


def report_of(folder):
    return json.loads((folder / "result/report.json").read_text())


def read_safetensors(path):
    """The tensors and the metadata of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    dtypes = {"F32": np.float32, "I32": np.int32, "I64": np.int64, "U8": np.uint8}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], dtypes[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def dense_of(layer, tensors):
    """The weight of a manifest's entry, as the file's format says."""
    values = tensors[layer["name"] + ".values"]
    crow = tensors[layer["name"] + ".crow_indices"]
    columns = tensors[layer["name"] + ".col_indices"]
    rows, cols = layer["block"]
    padded = np.zeros(layer["padded_shape"], np.float32)
    for block_row in range(len(crow) - 1):
        for i in range(crow[block_row], crow[block_row + 1]):
            top, left = block_row * rows, columns[i] * cols
            padded[top : top + rows, left : left + cols] = values[i]
    groups = layer["groups"]
    per_group = layer["shape"][0] // groups
    padded_per_group = layer["padded_shape"][0] // groups
    matrix = np.concatenate([padded[g * padded_per_group : g * padded_per_group + per_group]
                             for g in range(groups)])[:, : layer["shape"][1]]
    permutation = layer["permutation"]
    permuted_shape = [layer["dense_shape"][axis] for axis in permutation]
    return np.ascontiguousarray(matrix.reshape(permuted_shape).transpose(np.argsort(permutation)))


def test_the_pruned_model_is_valid_onnx_and_keeps_its_names(pruned):
    before = onnx.load(str(pruned / "new.onnx"))
    after = onnx.load(str(pruned / "result/model.onnx"))
    onnx.checker.check_model(after, full_check=True)
    for part in ("node", "initializer", "input", "output"):
        names = [item.name for item in getattr(before.graph, part)]
        assert [item.name for item in getattr(after.graph, part)] == names
    assert after.graph.input[0].type.tensor_type.shape.dim[0].dim_param, "the batch stays dynamic"


def test_onnx_runtime_computes_what_the_service_measured(pruned):
    session = onnxruntime.InferenceSession(str(pruned / "result/model.onnx"),
                                           providers=["CPUExecutionProvider"])
    data = np.load(pruned / "eval.npz")
    (logits,) = session.run(None, {session.get_inputs()[0].name: data["x"]})
    accuracy = float((logits.argmax(axis=1) == data["y"]).mean())
    assert accuracy > 0.8
    assert report_of(pruned)["metrics"]["pruned"]["accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_predictions_are_those_of_onnx_runtime(pruned, topiary):
    topiary("run", "--method", "evaluate", "--predictions", "--model", pruned / "result/model.onnx",
            "--train", pruned / "train.npz", "--eval", pruned / "eval.npz",
            "--download", pruned / "evaluated")
    predictions = np.load(pruned / "evaluated/predictions.npz")["predictions"]
    session = onnxruntime.InferenceSession(str(pruned / "result/model.onnx"),
                                           providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: np.load(pruned / "eval.npz")["x"]})
    np.testing.assert_allclose(predictions, logits, rtol=1e-4, atol=1e-4)


def test_the_block_sparse_file_holds_the_same_weights_in_fewer_bytes(pruned):
    tensors, metadata = read_safetensors(pruned / "result/model.safetensors")
    manifest = json.loads(metadata["topiary.manifest"])
    dense = {item.name: onnx.numpy_helper.to_array(item)
             for item in onnx.load(str(pruned / "result/model.onnx")).graph.initializer}
    assert manifest["layers"], "nothing was pruned"
    for layer in manifest["layers"]:
        weight = dense_of(layer, tensors)
        np.testing.assert_array_equal(weight, dense[layer["name"]])
        assert hashlib.sha256(weight.tobytes()).hexdigest() == layer["sha256"]
        stored = tensors[layer["name"] + ".values"]
        assert len(stored) == layer["blocks_live"] < layer["blocks_total"]
    sizes = [(pruned / "result" / name).stat().st_size for name in ("model.safetensors", "model.onnx")]
    assert sizes[0] < 0.5 * sizes[1]


def test_convert_makes_the_dense_model_of_the_block_sparse_file_bit_for_bit(pruned, topiary):
    done = topiary("convert", pruned / "result/model.safetensors",
                   pruned / "converted.onnx")
    converted = (pruned / "converted.onnx").read_bytes()
    assert converted == (pruned / "result/model.onnx").read_bytes()
    assert json.loads(done)["digest"] == hashlib.sha256(converted).hexdigest()


def test_a_shrunk_model_is_narrower_and_computes_the_same_in_onnx_runtime(pruned, topiary):
    model = onnx.load(str(pruned / "result/model.onnx"))
    weights = {item.name: item for item in model.graph.initializer}
    # Two filters of the second convolution, and the units of a linear layer that read nothing.
    conv, linear = [node.input[1] for node in model.graph.node if node.op_type in ("Conv", "Gemm")][1:3]
    for name, rows in ((conv, [0, 3]), (linear, [1, 4, 7])):
        weight = onnx.numpy_helper.to_array(weights[name]).copy()
        weight[rows] = 0
        weights[name].CopyFrom(onnx.numpy_helper.from_array(weight, name))
    onnx.save(model, str(pruned / "emptied.onnx"))
    done = json.loads(topiary("shrink", pruned / "emptied.onnx", pruned / "shrunk.onnx"))
    narrowed = {tensor["name"]: tensor for tensor in done["tensors"]}
    assert narrowed[conv]["after"][0] <= narrowed[conv]["before"][0] - 2
    assert narrowed[linear]["after"][0] <= narrowed[linear]["before"][0] - 3
    onnx.checker.check_model(str(pruned / "shrunk.onnx"), full_check=True)
    images = {"input": np.load(pruned / "eval.npz")["x"]}
    before, after = (onnxruntime.InferenceSession(str(pruned / name), providers=["CPUExecutionProvider"])
                     .run(None, images)[0] for name in ("emptied.onnx", "shrunk.onnx"))
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_the_job_leaves_a_narrower_model_that_computes_the_same_in_onnx_runtime(pruned):
    shrunk = report_of(pruned)["shrunk"]
    path = pruned / "result" / shrunk["file"]
    assert shrunk["bytes"] == path.stat().st_size < (pruned / "result/model.onnx").stat().st_size
    onnx.checker.check_model(str(path), full_check=True)
    narrow, wide = (onnx.load(str(pruned / "result" / name)) for name in (shrunk["file"], "model.onnx"))
    shapes = [{item.name: list(item.dims) for item in model.graph.initializer} for model in (wide, narrow)]
    lost = {tensor["name"]: [tensor["before"], tensor["after"]] for tensor in shrunk["tensors"]}
    assert lost and lost == {name: [shape, shapes[1][name]] for name, shape in shapes[0].items()
                             if shape != shapes[1][name]}
    images = {"input": np.load(pruned / "eval.npz")["x"]}
    got, wanted = (onnxruntime.InferenceSession(str(pruned / "result" / name), providers=["CPUExecutionProvider"])
                   .run(None, images)[0] for name in (shrunk["file"], "model.onnx"))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_the_sparsity_reported_is_that_of_the_file(pruned):
    report = report_of(pruned)
    dense = {item.name: onnx.numpy_helper.to_array(item)
             for item in onnx.load(str(pruned / "result/model.onnx")).graph.initializer}
    prunable = [dense[layer["name"]] for layer in report["layers"]]
    zeros = sum(int((weight == 0).sum()) for weight in prunable)
    total = sum(weight.size for weight in prunable)
    assert report["sparsity"]["reached"] == pytest.approx(zeros / total, abs=1e-6)
    assert report["sparsity"]["requested"] == 0.8


def test_a_benchmark_of_the_files_has_the_time_of_each_node(topiary, pruned):
    result = json.loads(topiary("bench", pruned / "result/model.safetensors", "--batch", 4))
    assert result["method"] == "benchmark"
    (latency,) = result["latency"]
    assert latency["batch"] == 4 and latency["dense"]["examples_per_second"] > 0
    weights = {layer["name"]: layer for layer in result["layers"] if layer["pruned"]}
    assert set(weights) == {layer["name"] for layer in report_of(pruned)["layers"] if layer["pruned"]}
    assert set(latency["break_even_sparsity"]) <= set(weights)
    nodes = [node["node"] for node in latency["nodes"]]
    assert any("Conv" in node for node in nodes) and any("Gemm" in node for node in nodes)
    result = json.loads(topiary("bench", pruned / "result/model.onnx", "--batch", 4))
    assert "block_sparse" not in result["latency"][0]


def test_a_dry_run_foretells_the_report(topiary, pruned, tmp_path):
    topiary("run", "--model", pruned / "new.onnx", "--train", pruned / "train.npz",
            "--eval", pruned / "eval.npz", "--sparsity", 0.8, "--block", "8x4", "--min-blocks", 20,
            "--epochs", 8, "--batch", 50, "--dry-run", "--download", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    foretold = json.loads((tmp_path / "report.json").read_text())
    assert foretold["dry_run"] and not foretold["metrics"]["given"]
    for ahead, done in zip(foretold["layers"], report_of(pruned)["layers"]):
        for key in ("name", "pruned", "blocks_total", "blocks_live", "stored_bytes"):
            assert ahead[key] == done[key], key
    assert foretold["costs"]["training_estimate_seconds"] > 0
