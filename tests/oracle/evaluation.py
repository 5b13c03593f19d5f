"""Exact neighbours, recall and candidates needed, by their definitions and one value at a time."""

import math

TOLERANCE = 1e-6


def neighbours(distance, objects, query, k):
    """All (distance, row) pairs up to the tied k-th distance, nearest first, ties by row."""
    pairs = sorted((distance(query, x), row) for row, x in enumerate(objects))
    limit = pairs[min(k, len(pairs)) - 1][0] * (1 + TOLERANCE)
    return [pair for pair in pairs if pair[0] <= limit]


def recall(found_distances, kth_distance, k):
    """Share of k answers whose distance is at most the k-th exact one."""
    right = [d for d in list(found_distances)[:k] if d <= kth_distance * (1 + TOLERANCE)]
    return len(right) / k


def candidate_recall(candidates, right, k, size):
    """Recall of the first `size` candidates."""
    return min(k, len(set(candidates[:size]) & set(right))) / k


def candidates_needed(lists, rights, k, target):
    """Smallest R with mean recall >= target, by trying every R."""
    longest = max(len(candidates) for candidates in lists)
    for size in range(1, longest + 1):
        total = sum(
            min(k, len(set(candidates[:size]) & set(right))) for candidates, right in zip(lists, rights, strict=True)
        )
        if total >= target * k * len(lists) - 1e-9:
            return size
    return math.inf
