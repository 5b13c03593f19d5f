"""Merging of segments, from compressed to compressed files; removed images are dropped on the way."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.vocabtree.building import offsets_of
from metricsearch.vocabtree.files._kernels import copy_pieces, measure_merged, write_merged
from metricsearch.vocabtree.segment import Segment, plain

GROWTH = 2  # a segment is more than so many times as large as the next one
_DENSE_SHARE = 16  # leaves are collected in a table where they are more than one in so many words
_IMAGE_BYTES = 64  # weight of an image without words

Removed = NDArray[np.uint32]


def tidied(
    segments: Sequence[Segment], removed: Sequence[Removed], n_words: int
) -> tuple[tuple[Segment, ...], tuple[Removed, ...]]:
    """The same images in few segments: each more than `GROWTH` times as large as the next, at most half of it removed.

    So an image is copied O(log n) times while n are inserted. The order of images is kept.
    """
    kept: list[tuple[Segment, Removed]] = []
    for segment, gone in zip(segments, removed, strict=True):
        if 2 * len(gone) > segment.n_images or not segment.n_images:
            if len(gone) < segment.n_images:
                kept.append((merged([segment], [gone], n_words), _none()))
        else:
            kept.append((segment, gone))
    tail, total = len(kept), 0
    for place in reversed(range(len(kept))):  # the longest run at the end whose first is not large enough
        if place < len(kept) - 1 and _size(kept[place][0]) <= GROWTH * total:
            tail = place
        total += _size(kept[place][0])
    if tail < len(kept):
        pair = merged([s for s, _ in kept[tail:]], [r for _, r in kept[tail:]], n_words), _none()
        kept[tail:] = [pair]
    return tuple(s for s, _ in kept), tuple(r for _, r in kept)


def _size(segment: Segment) -> int:
    return segment.postings.nbytes + segment.forward.nbytes + _IMAGE_BYTES * segment.n_images


def _none() -> Removed:
    return np.empty(0, dtype=np.uint32)


def merged(segments: Sequence[Segment], removed: Sequence[Removed], n_words: int) -> Segment:
    """One segment of all images that are not removed, in order. All or none of the segments have signatures.

    Raises CorruptedError where an inverted list is not as long as it should be.
    """
    kept = []
    for segment, gone in zip(segments, removed, strict=True):
        mask = np.ones(segment.n_images, dtype=bool)
        mask[gone] = False
        kept.append(np.flatnonzero(mask))
    first = offsets_of([len(numbers) for numbers in kept])
    numbers = []
    for i, segment in enumerate(segments):
        new = np.full(segment.n_images, -1, dtype=np.int32)
        new[kept[i]] = np.arange(first[i], first[i + 1])
        numbers.append(new)
    names, name_starts = _pieces([(s.names, s.name_starts) for s in segments], kept)
    forward, forward_starts = _pieces([(s.forward, s.forward_starts) for s in segments], kept)
    return Segment(
        plain(np.concatenate([s.image_ids[k] for s, k in zip(segments, kept, strict=True)]), np.int64),
        names,
        name_starts,
        forward,
        forward_starts,
        *_merged_lists(segments, numbers, n_words),
    )


def _merged_lists(
    segments: Sequence[Segment], numbers: Sequence[NDArray[np.int32]], n_words: int
) -> tuple[
    NDArray[np.uint32],
    NDArray[np.int64],
    NDArray[np.uint32],
    NDArray[np.int64],
    NDArray[np.uint8],
    NDArray[np.uint64] | None,
]:
    leaves = _all_leaves([segment.leaves for segment in segments], n_words)
    sizes, lengths, occurrences = _measured(segments, numbers, leaves)
    filled = lengths > 0
    leaves, lengths, occurrences = leaves[filled], lengths[filled], occurrences[filled]
    list_starts, signature_starts = offsets_of(sizes[filled]), offsets_of(occurrences)
    postings = np.empty(list_starts[-1], dtype=np.uint8)
    with_signatures = all(segment.signatures is not None for segment in segments)
    signatures = np.empty(signature_starts[-1] if with_signatures else 0, dtype=np.uint64)
    no_signatures = plain(np.empty(0), np.uint64)
    last = np.full(len(leaves), -1, dtype=np.int64)
    cursors, signature_cursors = list_starts[:-1].copy(), signature_starts[:-1].copy()
    for segment, new in zip(segments, numbers, strict=True):
        write_merged(
            segment.postings,
            segment.list_starts,
            segment.leaves,
            segment.signatures if segment.signatures is not None else no_signatures,
            new,
            leaves,
            last,
            cursors,
            postings,
            signature_cursors,
            signatures,
        )
    return (
        plain(leaves, np.uint32),
        plain(list_starts, np.int64),
        plain(lengths, np.uint32),
        plain(occurrences, np.int64),
        plain(postings, np.uint8),
        plain(signatures, np.uint64) if with_signatures else None,
    )


def _measured(
    segments: Sequence[Segment], numbers: Sequence[NDArray[np.int32]], leaves: NDArray[np.uint32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(bytes, images, descriptors) of the merged list of each leaf. Raises CorruptedError."""
    last = np.full(len(leaves), -1, dtype=np.int64)
    sizes, lengths, occurrences = (np.zeros(len(leaves), dtype=np.int64) for _ in range(3))
    for segment, new in zip(segments, numbers, strict=True):
        damaged = measure_merged(
            segment.postings,
            segment.list_starts,
            segment.leaves,
            segment.list_lengths,
            segment.occurrences,
            new,
            leaves,
            last,
            sizes,
            lengths,
            occurrences,
        )
        if damaged >= 0:
            raise CorruptedError(
                f"postings: the inverted list of word {segment.leaves[damaged]} is damaged; find the file with "
                "verify() and restore it"
            )
    return sizes, lengths, occurrences


def _all_leaves(leaves: Sequence[NDArray[np.uint32]], n_words: int) -> NDArray[np.uint32]:
    """All different leaves, ascending."""
    if len(leaves) == 1:
        return leaves[0].copy()
    if sum(len(part) for part in leaves) * _DENSE_SHARE < n_words:
        return np.unique(np.concatenate(leaves))
    occurs = np.zeros(n_words, dtype=bool)
    for part in leaves:
        occurs[part] = True
    return np.flatnonzero(occurs).astype(np.uint32)


def _pieces(
    files: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]], kept: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(content, starts) of the kept pieces of several files of pieces, one after another."""
    starts = offsets_of(np.concatenate([np.diff(begin)[k] for (_, begin), k in zip(files, kept, strict=True)]))
    out = np.empty(starts[-1], dtype=np.uint8)
    at = 0
    for (source, begin), numbers in zip(files, kept, strict=True):
        size = int((begin[1:] - begin[:-1])[numbers].sum())
        copy_pieces(source, begin, numbers, out[at : at + size])
        at += size
    return plain(out, np.uint8), plain(starts, np.int64)
