"""Slow, obviously right readers of the file formats, and statistics written out as loops."""

import math
import struct


def read_vecs(data: bytes, code: str) -> list[list[float]]:
    """fvecs ("f"), ivecs ("i"), bvecs ("B"): one record after the other."""
    rows, at = [], 0
    while at < len(data):
        (d,) = struct.unpack_from("<i", data, at)
        rows.append(list(struct.unpack_from(f"<{d}{code}", data, at + 4)))
        at += 4 + d * struct.calcsize("<" + code)
    return rows


def read_profiset(text: str) -> list[tuple[int, list[float]]]:
    lines = [line for line in text.splitlines() if line.strip()]
    return [
        (int(key.split()[-1]), [float(token) for token in numbers.replace(",", " ").split()])
        for key, numbers in zip(lines[::2], lines[1::2], strict=True)
    ]


def euclidean(x, y) -> float:
    return math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True)))


def statistics(vectors) -> dict[str, float]:
    """Non-zero share, mean distance, rho, 1-NN and 10-NN ratios over all ordered pairs of different objects."""
    n = len(vectors)
    rows = [[euclidean(vectors[i], vectors[j]) for j in range(n) if j != i] for i in range(n)]
    every = [distance for row in rows for distance in row]
    mean = sum(every) / len(every)
    variance = sum((distance - mean) ** 2 for distance in every) / len(every)
    values = [value for row in vectors for value in row]
    return {
        "nonzero_share": sum(value != 0 for value in values) / len(values),
        "mean_distance": mean,
        "intrinsic_dimensionality": mean**2 / (2 * variance),
        "nn1_ratio": sum(sorted(row)[0] for row in rows) / n / mean,
        "nn10_ratio": sum(sorted(row)[9] for row in rows) / n / mean,
    }
