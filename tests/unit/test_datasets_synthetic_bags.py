"""Synthetic bags of words: the same image however it is drawn, statistics of the real images, clear errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsearch.datasets import SyntheticBags
from metricsearch.errors import InvalidInputError

REAL = [[5, 5, 5, 9], [], [2**32 - 1], [9, 7, 7, 1, 2, 3]]
N = 60
WORDS, STARTS = SyntheticBags.from_images(REAL, seed=3).draw(0, N)


def image(words, starts, i):
    return words[starts[i] : starts[i + 1]].tolist()


@given(first=st.integers(0, N), n=st.integers(0, N))
def test_an_image_is_the_same_whatever_is_drawn_around_it(first, n):
    n = min(n, N - first)
    words, starts = SyntheticBags.from_images(REAL, seed=3).draw(first, n)
    assert (words.dtype, starts.dtype, len(starts)) == (np.uint32, np.int64, n + 1)
    assert [image(words, starts, i) for i in range(n)] == [image(WORDS, STARTS, first + i) for i in range(n)]


def test_seed_changes_the_images():
    words, starts = SyntheticBags.from_images(REAL, seed=4).draw(0, N)
    assert [image(words, starts, i) for i in range(N)] != [image(WORDS, STARTS, i) for i in range(N)]


def test_images_far_away_can_be_drawn():
    bags = SyntheticBags.from_images(REAL, seed=3)
    words, starts = bags.draw(2**62, 5)
    assert image(words, starts, 4) == image(*bags.draw(2**62 + 4, 1), 0)


def test_only_real_pairs_are_drawn_as_many_as_a_real_image_has():
    pairs = {5: 3, 9: 1, 2**32 - 1: 1, 7: 2, 1: 1, 2: 1, 3: 1}  # each word has one frequency here
    for i in range(N):
        words, counts = np.unique(image(WORDS, STARTS, i), return_counts=True)
        drawn = 0
        for word, count in zip(words.tolist(), counts.tolist(), strict=True):
            assert count % pairs[word] == 0
            drawn += count // pairs[word]
        assert drawn in {0, 1, 2, 5}  # the real images have 2, 0, 1 and 5 pairs


def test_statistics_are_those_of_the_real_images():
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, 401)
    real = [rng.choice(400, rng.integers(0, 60), p=popularity / popularity.sum()) for _ in range(300)]
    words, starts = SyntheticBags.from_images(real).draw(0, 20_000)
    ref_lengths, comp_lengths = np.array([len(words) for words in real]), np.diff(starts)
    assert comp_lengths.mean() == pytest.approx(ref_lengths.mean(), rel=0.03)
    assert comp_lengths.std() == pytest.approx(ref_lengths.std(), rel=0.1)
    ref = np.bincount(np.concatenate(real), minlength=400) / ref_lengths.sum()
    comp = np.bincount(words, minlength=400) / len(words)
    assert comp == pytest.approx(ref, abs=0.004)


@pytest.mark.parametrize("real", [[[]], [[], []]])
def test_real_images_without_words_give_images_without_words(real):
    words, starts = SyntheticBags.from_images(real).draw(0, 3)
    assert (words.size, starts.tolist()) == (0, [0, 0, 0, 0])


def test_flat_words_are_taken_as_well():
    flat = np.concatenate([np.array(words, dtype=np.uint32) for words in REAL])
    starts = np.cumsum([0, *map(len, REAL)])
    words, _ = SyntheticBags(flat, starts, seed=3).draw(0, N)
    assert words.tolist() == WORDS.tolist()


@pytest.mark.parametrize(
    ("words", "starts", "message"),
    [
        ([1, 2], [0, 1], "starts: expected ascending integers from 0 to the number of words, 2"),
        ([1, 2], [0, 2, 1, 2], "starts: expected ascending"),
        ([1, 2], [1, 2], "starts: expected ascending"),
        ([1, 2], [2], "starts: expected n \\+ 1 integers"),
        ([1, 2], [0.0, 2.0], "starts: expected n \\+ 1 integers"),
        ([-1, 2], [0, 2], "words: expected integers in 0..4294967295, got -1..2"),
        ([2**32], [0, 1], "words: expected integers in 0..4294967295"),
        ([[1, 2]], [0, 2], "words: expected a 1-D array of integers"),
        ([1.5], [0, 1], "words: expected a 1-D array of integers"),
    ],
)
def test_bad_input_is_refused(words, starts, message):
    with pytest.raises(InvalidInputError, match=message):
        SyntheticBags(words, starts)


def test_bad_numbers_are_refused():
    bags = SyntheticBags.from_images(REAL)
    for arguments in ((-1, 3), (0, -1), (0.5, 1), (2**63 - 1, 1)):
        with pytest.raises(InvalidInputError, match="first|n:"):
            bags.draw(*arguments)
    with pytest.raises(InvalidInputError, match="seed"):
        SyntheticBags.from_images(REAL, seed=-1)
    with pytest.raises(InvalidInputError, match="starts"):
        SyntheticBags.from_images([])
