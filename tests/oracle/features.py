"""Matching by all distances, and images to match."""

import cv2
import numpy as np


def noise(height=120, width=160, seed=0):
    """Blobs and regions of many sizes."""
    rng = np.random.default_rng(seed)
    values = sum(cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), s) * s for s in (1.5, 3, 6))
    return np.clip(128 + 60 * values, 0, 255).astype(np.uint8)


def matches(query, image, ratio=0.8):
    """Index pairs whose nearest descriptor is nearer than `ratio` times the second nearest."""
    a, b = query.descriptors.astype(np.float64), image.descriptors.astype(np.float64)
    sq = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    nearest = np.argpartition(sq, 1, axis=1)[:, :2]
    distances = np.sqrt(np.maximum(np.take_along_axis(sq, nearest, axis=1), 0))
    best = distances.argmin(axis=1)
    kept = np.flatnonzero(distances.min(axis=1) < ratio * distances.max(axis=1))
    return np.stack([kept, nearest[kept, best[kept]]], axis=1)


def mapped(places, homography):
    """(n, 2) places under a homography."""
    homogeneous = np.column_stack([places, np.ones(len(places))]) @ homography.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def right_matches(a, b, homography, tolerance=5.0):
    """Number of matches, of those within `tolerance` pixels of the truth, and of those that chance would give."""
    pairs = matches(a, b)
    places = mapped(a.keypoints[pairs[:, 0], :2], homography)
    shuffled = np.random.default_rng(0).permutation(len(b))[pairs[:, 1]]
    right, chance = (
        int((np.hypot(*(places - b.keypoints[found, :2]).T) <= tolerance).sum()) for found in (pairs[:, 1], shuffled)
    )
    return len(pairs), right, chance
