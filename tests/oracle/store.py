"""Slow, obviously right versions of what the object store does."""

import math
import struct


def sparse_payload(vector):
    """Bitmap in 64-bit words, bit j set where the bits of component j are not all zero; then those components."""
    patterns = [struct.unpack("<I", struct.pack("<f", value))[0] for value in vector]
    n_words = -(-len(patterns) // 64)
    words = [0] * n_words
    for j, pattern in enumerate(patterns):
        if pattern:
            words[j // 64] |= 1 << (j % 64)
    kept = [pattern for pattern in patterns if pattern]
    return struct.pack(f"<{n_words}Q", *words) + struct.pack(f"<{len(kept)}I", *kept)


def euclidean(left, right):
    """sqrt(sum of squared differences), summed without rounding errors."""
    return math.sqrt(math.fsum((float(a) - float(b)) ** 2 for a, b in zip(left, right, strict=True)))


class DictStore:
    """What a store must hold after a sequence of changes."""

    def __init__(self):
        self.objects = {}
        self.version = 0

    def add(self, objects):
        assert not set(objects) & set(self.objects)
        self.objects.update(objects)
        self.version += bool(objects)

    def remove(self, ids):
        for object_id in ids:
            del self.objects[object_id]
        self.version += bool(ids)
