"""Tests of paired differences: Student's t, and permutations of signs."""

import itertools
import math

import numpy as np

EXHAUSTIVE = 14  # Up to 2^14 sign patterns are all tried; of more, DRAWS are drawn.
DRAWS = 20000


def _beta_fraction(a, b, x):
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 1000):
        for numerator in (m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                          -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))):
            d = 1 + numerator * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + numerator / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return value


def incomplete_beta(a, b, x):
    """The regularized incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    factor = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return factor * _beta_fraction(a, b, x) / a
    return 1 - factor * _beta_fraction(b, a, 1 - x) / b


def student_p(t, degrees):
    """The two-sided p of Student's t."""
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


def paired_t(differences):
    """Mean of the differences, and the two-sided p that it is 0; p is None for fewer than two, 1 where
    all are 0."""
    values = np.asarray(differences, np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, None
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    if error == 0:
        return mean, 1.0 if mean == 0 else 0.0
    return mean, student_p(mean / error, len(values) - 1)


def sign_permutation_p(clusters, seed=0):
    """The two-sided p that differences lie evenly around 0: how often their mean is as far from 0 as
    it is when the signs of whole clusters, lists of differences that depend on each other, are drawn."""
    sums = np.array([math.fsum(cluster) for cluster in clusters])
    observed = abs(math.fsum(sums))
    slack = 1e-12 * float(np.abs(sums).sum())
    if len(sums) <= EXHAUSTIVE:
        signs = np.array(list(itertools.product((1, -1), repeat=len(sums))))
        return float(np.mean(np.abs(signs @ sums) >= observed - slack))
    random = np.random.Generator(np.random.PCG64(seed))
    extreme = 0
    for _ in range(DRAWS // 1000):
        signs = 2 * random.integers(0, 2, (1000, len(sums))) - 1
        extreme += int(np.count_nonzero(np.abs(signs @ sums) >= observed - slack))
    return (extreme + 1) / (DRAWS + 1)
