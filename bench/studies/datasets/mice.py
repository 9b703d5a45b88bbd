"""Mice Protein Expression (UCI): 77 proteins of 72 mice, 15 rows of each, 8 classes.

Two protocols. "mice_rows" is the published one: rows are split at random, so that each mouse is in both
parts, and a missing value is the mean of the values that are present in rows of the same genotype,
treatment and behaviour, which tells something of the label, of test rows too. "mice_mouse" asks for the
class of mice that were never seen: all rows of a mouse are in one part, and a missing value is the mean
of the training rows alone, of whatever class.
"""

import csv
import gzip

import numpy as np

from studies import datasets

WHAT = ("Data_Cortex_Nuclear.csv.gz: Mice Protein Expression (UCI machine learning repository, 342) as CSV with a "
        "header, compressed by gzip")
PROTEINS = slice(1, 78)
SPLITS = 5  # One for each seed: what is held out matters more here than initial weights.
HELD_OUT_MICE = 2  # Of each class.


def read():
    """Mouse of each row, class (0 to 7) of each row, and the proteins, missing ones NaN."""
    with gzip.open(datasets.source("mice_protein/Data_Cortex_Nuclear.csv.gz", WHAT), "rt", newline="") as file:
        rows = list(csv.reader(file))[1:]
    mice = np.array([row[0].split("_")[0] for row in rows])
    _, classes = np.unique([row[-1] for row in rows], return_inverse=True)
    proteins = np.array([[float(value) if value else np.nan for value in row[PROTEINS]] for row in rows])
    return mice, classes.astype(np.int64), proteins


def impute_by_class(x, classes):
    """Missing values become the mean of the present ones of the same class and column, of the column where
    the class has none."""
    x = x.copy()
    overall = np.nanmean(x, axis=0)
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        present = ~np.isnan(x[rows])
        sums = np.where(present, x[rows], 0).sum(axis=0)
        means = np.where(present.any(axis=0), sums / np.maximum(present.sum(axis=0), 1), overall)
        x[rows] = np.where(present, x[rows], means)
    return x


def split_by_mouse(mice, classes, seed):
    """Row numbers to train on and of HELD_OUT_MICE mice of each class."""
    random = np.random.Generator(np.random.PCG64(seed))
    held_out = []
    for label in np.unique(classes):
        found = np.unique(mice[classes == label])
        held_out += list(found[random.permutation(len(found))[:HELD_OUT_MICE]])
    test = np.isin(mice, held_out)
    return np.flatnonzero(~test), np.flatnonzero(test)


def parts_of(number, x, y, train, test):
    scale = datasets.MinMax(x[train])
    return {f"train{number}": {"x": scale(x[train]), "y": y[train]}, f"test{number}": {"x": scale(x[test]), "y": y[test]}}


def mice_rows():
    _, classes, proteins = read()
    x = impute_by_class(proteins, classes)
    parts = {}
    for number in range(SPLITS):
        parts |= parts_of(number, x, classes, *datasets.split(len(x), 0.2, seed=number))
    return parts


def mice_mouse():
    mice, classes, proteins = read()
    parts = {}
    for number in range(SPLITS):
        train, test = split_by_mouse(mice, classes, seed=number)
        x = np.where(np.isnan(proteins), np.nanmean(proteins[train], axis=0), proteins)
        parts |= parts_of(number, x, classes, train, test)
    return parts
