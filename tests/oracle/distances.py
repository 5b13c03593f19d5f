"""Distances by their textbook formulas: plain Python, numpy and scipy, one pair at a time."""

import math

import numpy as np
from scipy.spatial import distance


def euclidean(x, y):
    return math.sqrt(math.fsum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True)))


def manhattan(x, y):
    return math.fsum(abs(float(a) - float(b)) for a, b in zip(x, y, strict=True))


def chebyshev(x, y):
    return max(abs(float(a) - float(b)) for a, b in zip(x, y, strict=True))


def angular(x, y):
    """Angle from the lengths of the difference and the sum, in extended precision."""
    x, y = np.asarray(x, dtype=np.longdouble), np.asarray(y, dtype=np.longdouble)
    u, v = x / np.sqrt((x * x).sum()), y / np.sqrt((y * y).sum())
    return float(2 * np.arctan2(np.sqrt(((u - v) ** 2).sum()), np.sqrt(((u + v) ** 2).sum())))


def jensen_shannon(x, y):
    return float(distance.jensenshannon(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)))


def hamming(x, y):
    """Of two bool vectors."""
    return float(sum(bool(a) != bool(b) for a, b in zip(x, y, strict=True)))


def jaccard(x, y):
    union = set(x) | set(y)
    return 1 - len(set(x) & set(y)) / len(union) if union else 0.0


def levenshtein(x, y):
    table = [[i + j if i * j == 0 else 0 for j in range(len(y) + 1)] for i in range(len(x) + 1)]
    for i in range(1, len(x) + 1):
        for j in range(1, len(y) + 1):
            substitution = table[i - 1][j - 1] + (x[i - 1] != y[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, substitution)
    return float(table[-1][-1])


def sqfd(x, y, alpha=1.0):
    """sqrt(w A w) with the full similarity matrix of all centres of both signatures."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centres = np.concatenate([x[:, :-1], y[:, :-1]])
    weights = np.concatenate([x[:, -1], -y[:, -1]])
    similarity = np.exp(-alpha * ((centres[:, None] - centres[None]) ** 2).sum(axis=2))
    return math.sqrt(max(0.0, float(weights @ similarity @ weights)))


def hausdorff(x, y):
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return max(distance.directed_hausdorff(x, y)[0], distance.directed_hausdorff(y, x)[0])
