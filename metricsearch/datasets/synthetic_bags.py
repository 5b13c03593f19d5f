"""Synthetic bags of words, drawn from the word statistics of real photos: inverted files of any size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets._kernels import draw_bags
from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_integer

_MAX_PAIRS = 2**32 - 1  # a place in the pool is drawn from 32 random bits


class SyntheticBags:
    """Any number of synthetic images as bags of words. They were made from no photo.

    An image gets as many (word, frequency) pairs as a real image drawn at random has, each drawn at random from the
    pairs of all real images together. So the share of images with a word, the words per image and the term
    frequencies are about those of the real images; that words occur together is lost. A word drawn twice in one image
    has its frequencies added up.

    Image i depends on (seed, i) and the real words alone, whatever is drawn around it.

    words  : (m,) integers in 0..2**32 - 1, words of the real images one after another, in any order, with repetition.
    starts : (n + 1,) integers, where the words of each real image begin, and m; n >= 1.
    seed   : whole number >= 0.
    Raises InvalidInputError.
    """

    def __init__(self, words: Any, starts: Any, seed: int = 0) -> None:
        words, starts = _check_words(words), _check_starts(starts, len(words))
        seed = check_integer(seed, "seed", 0)
        self._key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        image = np.repeat(np.arange(starts.size - 1, dtype=np.uint64), np.diff(starts))
        pairs, frequencies = np.unique(image << np.uint64(32) | words, return_counts=True)
        if pairs.size > _MAX_PAIRS:
            raise InvalidInputError(
                f"words: {pairs.size:,} different words of images, at most {_MAX_PAIRS:,} are taken"
            )
        self._pair_counts = np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=starts.size - 1)
        self._pool_words = (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32)
        self._pool_tfs = frequencies.astype(np.uint32)

    @classmethod
    def from_images(cls, images: Sequence[Any], seed: int = 0) -> "SyntheticBags":
        """From one array of words per real image. Raises InvalidInputError."""
        flat = [_check_words(words) for words in images]
        starts = np.cumsum([0, *(len(words) for words in flat)])
        return cls(np.concatenate(flat) if flat else np.empty(0, np.uint32), starts, seed)

    def draw(self, first: int, n: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Images first..first + n - 1: (words (m,) uint32 in no order, with repetition; starts (n + 1,) int64).

        Holds 4 bytes per word; draw large numbers in parts. Raises InvalidInputError.
        """
        first, n = check_integer(first, "first", 0), check_integer(n, "n", 0)
        check_integer(first + n, "first + n", 0, 2**63 - 1)
        starts = np.empty(n + 1, dtype=np.int64)
        arguments = (self._key, first, self._pair_counts, self._pool_words, self._pool_tfs, starts)
        words = np.empty(draw_bags(*arguments, np.empty(0, np.uint32)), dtype=np.uint32)
        draw_bags(*arguments, words)
        return words, starts


def _check_words(words: Any) -> NDArray[np.uint32]:
    array = np.asarray(words)
    if array.size == 0 and array.ndim <= 1:
        return np.empty(0, dtype=np.uint32)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidInputError(f"words: expected a 1-D array of integers, got shape {array.shape}, {array.dtype}")
    if array.min() < 0 or array.max() >= 2**32:
        raise InvalidInputError(f"words: expected integers in 0..{2**32 - 1}, got {array.min()}..{array.max()}")
    return np.ascontiguousarray(array, dtype=np.uint32)


def _check_starts(starts: Any, n_words: int) -> NDArray[np.int64]:
    array = np.asarray(starts)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.size < 2:
        raise InvalidInputError(
            f"starts: expected n + 1 integers for n >= 1 images, got shape {array.shape}, {array.dtype}"
        )
    array = array.astype(np.int64)
    if array[0] != 0 or array[-1] != n_words or (np.diff(array) < 0).any():
        raise InvalidInputError(f"starts: expected ascending integers from 0 to the number of words, {n_words:,}")
    return array
