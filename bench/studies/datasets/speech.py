"""ISOLET: spoken letters (UCI)."""

import gzip

import numpy as np

from studies import datasets

WHAT = ("ISOLET (UCI machine learning repository) as two CSV files without header compressed by gzip, "
        "617 features and a label from 1 to 26: isolet1234_train.csv.gz (speaker groups 1 to 4) and "
        "isolet5_test.csv.gz (group 5)")


def isolet():
    """6,238 + 1,559 rows of 617 features in [-1, 1], 26 classes; the speakers of the test are new."""
    parts = {}
    for part, name in (("train", "isolet1234_train"), ("test", "isolet5_test")):
        with gzip.open(datasets.source(f"isolet/{name}.csv.gz", WHAT), "rt") as file:
            table = np.loadtxt(file, delimiter=",")
        parts[part] = {"x": table[:, :-1].astype(np.float32), "y": table[:, -1].astype(np.int64) - 1}
    return parts
