"""MNIST, Fashion-MNIST and COIL-20, from IDX files."""

import gzip
import math
import struct

import numpy as np

from studies import datasets

MNIST = "the four IDX files of MNIST (LeCun, Cortes, Burges), compressed by gzip"
FASHION = "the four IDX files of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist), compressed by gzip"
COIL = ("COIL-20 (Nene, Nayar, Murase, 1996) at 32x32 as a pair of IDX files compressed by gzip, "
        "coil20_32x32-images-idx3-ubyte.gz and coil20-labels-idx1-ubyte.gz, labels from 0")


def read_idx(path):
    """The array of an IDX file of unsigned bytes, compressed by gzip."""
    with gzip.open(path, "rb") as file:
        data = file.read()
    zero, kind, rank = struct.unpack_from(">HBB", data)
    if zero != 0 or kind != 8:
        raise datasets.DataMissing(f"{path} is no IDX file of unsigned bytes")
    extents = struct.unpack_from(f">{rank}I", data, 4)
    array = np.frombuffer(data, np.uint8, offset=4 + 4 * rank)
    if array.size != math.prod(extents):
        raise datasets.DataMissing(f"{path} holds {array.size} bytes, its header says {extents}")
    return array.reshape(extents)


def read_mnist(folder, what):
    def part(prefix):
        return {"x": read_idx(datasets.source(f"{folder}/{prefix}-images-idx3-ubyte.gz", what)),
                "y": read_idx(datasets.source(f"{folder}/{prefix}-labels-idx1-ubyte.gz", what))}

    return {"train": part("train"), "test": part("t10k")}


def mnist():
    """60,000 + 10,000 images of 28x28 bytes, 10 classes; to be divided by 255."""
    return read_mnist("mnist", MNIST)


def fashion_mnist():
    """As MNIST."""
    return read_mnist("fashion_mnist", FASHION)


def coil20():
    """1,440 images of 32x32 bytes of 20 objects; one in five, drawn once and for all, is for the test."""
    images = read_idx(datasets.source("coil20/coil20_32x32-images-idx3-ubyte.gz", COIL))
    labels = read_idx(datasets.source("coil20/coil20-labels-idx1-ubyte.gz", COIL))
    train, test = datasets.split(len(labels), 0.2, seed=20)
    return {"train": {"x": images[train], "y": labels[train]}, "test": {"x": images[test], "y": labels[test]}}


def area_means(images, size):
    """Square images [n, a, a] at size x size: each new pixel is the mean over the square of the old image that it covers."""
    edges = np.linspace(0, images.shape[1], size + 1)
    pixels = np.arange(images.shape[1])
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.maximum(covered, 0) * size / images.shape[1]
    return np.einsum("ij,njk,lk->nil", weights, images.astype(np.float64), weights).astype(np.float32)


def coil20_at_20x20():
    """As coil20(), at the resolution of the paper of Sequential Attention, made of 32x32."""
    return {part: {"x": area_means(arrays["x"], 20), "y": arrays["y"]} for part, arrays in coil20().items()}
