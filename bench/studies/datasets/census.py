"""Adult: census income (UCI)."""

import csv
import gzip

import numpy as np

from studies import datasets

WHAT = "Adult (UCI machine learning repository), the training file with a header row, compressed by gzip"
NUMERIC = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
CATEGORICAL = ("workclass", "education", "marital_status", "occupation", "relationship", "race", "sex",
               "native_country")


def encode(rows, train):
    """Numbers standardized and categories one-hot, both as found in the rows `train`; a category that
    is not among those, or missing ("?"), has all zeros but where "?" itself is one of them."""
    numbers = np.array([[float(row[name]) for name in NUMERIC] for row in rows])
    columns = [datasets.Standardizer(numbers[train])(numbers)]
    for name in CATEGORICAL:
        values = np.array([row[name] for row in rows])
        categories = np.unique(values[train])
        columns.append((values[:, None] == categories[None, :]).astype(np.float32))
    return np.concatenate(columns, axis=1)


def adult():
    """32,561 rows, 108 columns, label 1 for an income above 50K; one row in five is for the test."""
    with gzip.open(datasets.source("adult/adult.csv.gz", WHAT), "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    train, test = datasets.split(len(rows), 0.2, seed=14)
    x = encode(rows, train)
    y = np.array([row["income"].strip() == ">50K" for row in rows]).astype(np.int64)
    return {"train": {"x": x[train], "y": y[train]}, "test": {"x": x[test], "y": y[test]}}
