"""From the words of images to a segment."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metricsearch.vocabtree.files._kernels import measure_files, order_by_word, write_files
from metricsearch.vocabtree.segment import Segment, plain

CHUNK_WORDS = 4_000_000  # words that are put in order at once


def build_segment(
    image_ids: NDArray[np.int64],
    names: Sequence[str],
    words: NDArray[np.uint32],
    starts: NDArray[np.int64],
    signatures: NDArray[np.uint64] | None = None,
) -> Segment:
    """Segment of n images; all is checked already.

    image_ids: (n,). names: n, or none for no names. words: (m,), of image i: words[starts[i]:starts[i + 1]], m < 2^32.
    signatures: (m,), of the same descriptors, or None.
    """
    n = len(image_ids)
    words = np.ascontiguousarray(words, dtype=np.uint32)
    images = np.repeat(np.arange(n, dtype=np.uint32), np.diff(starts))
    order = order_by_word(words, int(words.max(initial=0)))
    words, images = words[order], images[order]
    forward_sizes = np.zeros(n, dtype=np.int64)
    n_lists, n_bytes = measure_files(words, images, forward_sizes)
    forward_starts = offsets_of(forward_sizes)
    forward = np.empty(forward_starts[-1], dtype=np.uint8)
    leaves = np.empty(n_lists, dtype=np.uint32)
    list_starts = np.zeros(n_lists + 1, dtype=np.int64)
    lengths = np.empty(n_lists, dtype=np.uint32)
    occurrences = np.empty(n_lists, dtype=np.int64)
    postings = np.empty(n_bytes, dtype=np.uint8)
    write_files(words, images, forward_starts, forward, leaves, list_starts, lengths, occurrences, postings)
    encoded = [name.encode() for name in names] or [b""] * n
    return Segment(
        image_ids=plain(image_ids, np.int64),
        names=plain(np.frombuffer(b"".join(encoded), dtype=np.uint8), np.uint8),
        name_starts=plain(offsets_of([len(name) for name in encoded]), np.int64),
        forward=plain(forward, np.uint8),
        forward_starts=plain(forward_starts, np.int64),
        leaves=plain(leaves, np.uint32),
        list_starts=plain(list_starts, np.int64),
        list_lengths=plain(lengths, np.uint32),
        occurrences=plain(occurrences, np.int64),
        postings=plain(postings, np.uint8),
        signatures=None if signatures is None else plain(signatures[order], np.uint64),
    )


def offsets_of(lengths: NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
    """(n + 1,) int64 running sum, from 0."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def chunks_of(starts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(first, end) of runs of images with at most `CHUNK_WORDS` words together, or of one image with more."""
    chunks = []
    first, n = 0, len(starts) - 1
    while first < n:
        end = int(np.searchsorted(starts, starts[first] + CHUNK_WORDS, side="right")) - 1
        end = min(max(end, first + 1), n)
        chunks.append((first, end))
        first = end
    return chunks
