"""Data sets of the studies, as .npz files that the service reads: arrays "x" and "y".

What cannot be generated is read from the folder that $TOPIARY_DATA names. Scaling and encoding are
fitted on the training rows alone. Equal inputs give equal bytes.
"""

import os
import pathlib

import numpy as np


class DataMissing(Exception):
    """A file that a study needs is not there; the message says what to put where."""


def source(relative, what):
    """The path of a file of the folder of data sets. `what` says where one gets it."""
    root = os.environ.get("TOPIARY_DATA")
    if not root:
        raise DataMissing(f"TOPIARY_DATA is not set: set it to a folder that has {relative} ({what})")
    path = pathlib.Path(root) / relative
    if not path.exists():
        raise DataMissing(f"{relative} is missing in $TOPIARY_DATA: put {what} there")
    return path


def split(count, fraction, seed):
    """Two disjoint, sorted arrays of row numbers, the second of `fraction` of the rows."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(count)
    held_out = round(count * fraction)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


class Standardizer:
    """Columns to mean 0 and deviation 1, as fitted on `x`; one that never changes is only centred."""

    def __init__(self, x):
        self._mean = x.mean(axis=0, dtype=np.float64)
        deviation = x.std(axis=0, dtype=np.float64)
        self._deviation = np.where(deviation > 0, deviation, 1)

    def __call__(self, x):
        return ((x - self._mean) / self._deviation).astype(np.float32)


class MinMax:
    """Columns to [0, 1], as fitted on `x`; values beyond its range leave the interval."""

    def __init__(self, x):
        self._low = x.min(axis=0)
        extent = x.max(axis=0) - self._low
        self._extent = np.where(extent > 0, extent, 1)

    def __call__(self, x):
        return ((x - self._low) / self._extent).astype(np.float32)
