"""Which data sets and models there are, by the names that specs refer to."""

import subprocess

from studies import service
from studies.datasets import census, clicks, images, mice, scripture, speech
from studies.models.clicks import make_click_model
from studies.models.decoder import make_decoder
from studies.models.selection import make_selection_mlp

# Each makes {part: {array name: array}}.
DATASETS = {
    "adult": census.adult,
    "clicks": clicks.clicks,
    "coil20": images.coil20,
    "coil20_at_20x20": images.coil20_at_20x20,
    "fashion_mnist": images.fashion_mnist,
    "isolet": speech.isolet,
    "mice_mouse": mice.mice_mouse,
    "mice_rows": mice.mice_rows,
    "mnist": images.mnist,
    "scripture": scripture.scripture,
}


def make_mlp(path, seed, widths):
    """A linear layer and ReLU for each hidden width: "617-512-26" is 617 inputs, 26 outputs."""
    inputs, *hidden, outputs = widths.split("-")
    new_model("mlp", path, seed, "--input-shape", inputs, "--hidden", ",".join(hidden), "--classes", outputs)


def make_fashion_cnn(path, seed):
    new_model("fashion_cnn", path, seed)


def new_model(architecture, path, seed, *arguments):
    command = [service.binaries() / "client/cli/topiary", "model", "new", architecture, path, "--seed", seed]
    done = subprocess.run([str(word) for word in [*command, *arguments]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise service.ServiceError(f"topiary model new ended with {done.returncode}: {done.stderr}")


MODELS = {
    "clicks": make_click_model,
    "decoder": make_decoder,
    "fashion_cnn": make_fashion_cnn,
    "mlp": make_mlp,
    "selection": make_selection_mlp,
}


def make_model(name, path):
    """Writes the model "model/ARCHITECTURE[/PARAMETER]/seedN.onnx" to `path`."""
    _, architecture, *parameters, last = name.split("/")
    seed = int(last.removeprefix("seed").removesuffix(".onnx"))
    MODELS[architecture](path, seed, *parameters)
