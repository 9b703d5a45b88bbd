"""Generated click data of Criteo's shape: 39 fields, a click in one of four rows, and a signal that was
planted, so that it is known which fields matter.

A stand-in for the Criteo logs, which may not be passed on. Whoever has them makes the same arrays of
them: "x", integers [rows, 39], the row of each field's value in one table of all fields (FIRST), numbers
put in buckets before, and "y", 0 or 1; in train.npz and test.npz.

- Of 39 fields, 13 are numbers in 40 buckets and 26 are categories, from 4 to 10,000 of them. Value v is
  drawn with a chance that falls as 1 / (v + 1): a few values are common, most are rare.
- A row is clicked if score + 1.5 noise > 0, noise being the sum of 12 uniform numbers less 6, which is next to
  a normal one of deviation 1. That is a chance which who knows the score tells with a log loss of 0.44 and an
  AUC of 0.81.
- The score is sum over fields f of strength_f * effect(f, v_f) plus sum over PAIRS of fields of
  0.5 * sum_i latent(f, v_f)_i latent(g, v_g)_i, plus an intercept. Effects and the 4 latent numbers of each
  value are uniform in [-1, 1]. Strengths fall by the factor 0.8 from 1 in the order RANKED, an order of the fields that
  was drawn once, and are 0 after the first 20: 19 fields have no effect of their own.
- What is random comes from a generator of fixed seed, whatever number of rows is made; nothing but
  comparisons, sums and products is computed, so that every machine makes the same bytes.
"""

import numpy as np

NUMERIC, CATEGORICAL = 13, 26
FIELDS = NUMERIC + CATEGORICAL
# 4 to 10,000 in equal ratios, written out, as a power may be rounded differently elsewhere.
CATEGORIES = (4, 5, 7, 10, 14, 19, 26, 36, 49, 67, 92, 125, 171, 234, 320, 437, 598, 817, 1117, 1527, 2088,
              2855, 3902, 5335, 7294, 10000)
SIZES = (40,) * NUMERIC + CATEGORIES
FIRST = tuple(int(n) for n in np.cumsum((0,) + SIZES[:-1]))  # Row of a field's value 0 in the table.
TABLE_ROWS = sum(SIZES)

RANKED = (17, 3, 30, 22, 9, 35, 12, 26, 6, 14, 38, 1, 20, 33, 28, 11, 24, 4, 36, 16,
          0, 2, 5, 7, 8, 10, 13, 15, 18, 19, 21, 23, 25, 27, 29, 31, 32, 34, 37)
WITH_EFFECT = 20
PAIRS = ((17, 3), (30, 9), (22, 35), (12, 26), (6, 38), (14, 20), (1, 33), (17, 22))
LATENT = 4
PAIR_STRENGTH = 0.5
INTERCEPT = -0.7
NOISE = 1.5

TRAIN_ROWS, TEST_ROWS = 2_000_000, 200_000
CHUNK = 50_000
SEED = 39


def strengths():
    """Of each field's effect."""
    values = [0.0] * FIELDS
    strength = 1.0
    for field in RANKED[:WITH_EFFECT]:
        values[field] = strength
        strength *= 0.8
    return values


def planted(random):
    """effect[value] and latent[value, i] of all values, numbered as in the table."""
    return 2 * random.random(TABLE_ROWS) - 1, 2 * random.random((TABLE_ROWS, LATENT)) - 1


def draw_values(random, size, rows):
    """Values from 0 to size - 1, value v with a chance proportional to 1 / (v + 1)."""
    limits = np.cumsum(1 / np.arange(1, size + 1))
    return np.minimum(np.searchsorted(limits, random.random(rows) * limits[-1], side="right"), size - 1)


def scores(ids, effect, latent):
    total = np.full(len(ids), INTERCEPT)
    for field, strength in enumerate(strengths()):
        if strength > 0:
            total += strength * effect[ids[:, field]]
    for a, b in PAIRS:
        for i in range(LATENT):
            total += PAIR_STRENGTH * (latent[ids[:, a], i] * latent[ids[:, b], i])
    return total


def draw_rows(random, rows, effect, latent):
    """Arrays x and y of some rows."""
    ids = np.stack([first + draw_values(random, size, rows) for first, size in zip(FIRST, SIZES)], axis=1)
    noise = np.full(rows, -6.0)
    for _ in range(12):
        noise += random.random(rows)
    return ids.astype(np.uint16), (scores(ids, effect, latent) + NOISE * noise > 0).astype(np.uint8)


def generate(rows):
    """The first rows of the data, as many as are wanted, rounded up to chunks."""
    random = np.random.Generator(np.random.PCG64(SEED))
    effect, latent = planted(random)
    parts = [draw_rows(random, CHUNK, effect, latent) for _ in range(-(-rows // CHUNK))]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def clicks():
    """2,000,000 rows to train on, 200,000 to test with."""
    x, y = generate(TRAIN_ROWS + TEST_ROWS)
    return {"train": {"x": x[:TRAIN_ROWS], "y": y[:TRAIN_ROWS]}, "test": {"x": x[TRAIN_ROWS:], "y": y[TRAIN_ROWS:]}}
