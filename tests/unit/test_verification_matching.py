"""Matched descriptors against a search of all pairs, one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from metricsearch.errors import InvalidInputError
from metricsearch.verification import match_descriptors, prepare_descriptors


def matches_naive(query, image, ratio, mutual):
    """The definition, with whole numbers: every distance, every rule, one at a time."""
    if len(image) < 2:
        return []
    distances = [[sum((int(a) - int(b)) ** 2 for a, b in zip(q, x, strict=True)) for x in image] for q in query]
    chosen = {}  # image feature -> (squared distance, query feature)
    for i, row in enumerate(distances):
        order = sorted(range(len(row)), key=lambda j: (row[j], j))
        j, second = order[0], order[1]
        if not row[j] < ratio * ratio * row[second]:
            continue
        if mutual and min(range(len(query)), key=lambda other: (distances[other][j], other)) != i:
            continue
        chosen[j] = min(chosen.get(j, (row[j], i)), (row[j], i))
    return sorted((i, j) for j, (_, i) in chosen.items())


# Few different values, so that equal descriptors and tied distances are common.
def bytes_of(width):
    return hnp.arrays(np.uint8, st.tuples(st.integers(0, 7), st.just(width)), elements=st.sampled_from([0, 1, 2, 255]))


@pytest.mark.parametrize("mutual", [False, True])
@given(
    pair=st.integers(1, 3).flatmap(lambda d: st.tuples(bytes_of(d), bytes_of(d))),
    ratio=st.sampled_from([0.5, 0.75, 1.0]),
)
def test_matches_are_those_of_the_definition(mutual, pair, ratio):
    query, image = pair
    expected = matches_naive(query, image, ratio, mutual)
    assert match_descriptors(query, image, ratio, mutual=mutual).tolist() == [list(match) for match in expected]
    floats = match_descriptors(query.astype(np.float32), image.astype(np.float64), ratio, mutual=mutual)
    assert floats.tolist() == [list(match) for match in expected]


@pytest.mark.parametrize("width", [128, 258, 259, 400])  # float32 holds the sums of bytes up to 258 dimensions
@pytest.mark.parametrize("mutual", [False, True])
def test_distances_of_bytes_are_exact_up_to_the_last_unit(width, mutual):
    rng = np.random.default_rng(width)
    query = rng.choice(np.array([0, 254, 255], dtype=np.uint8), size=(40, width))
    image = np.concatenate([query[rng.permutation(40)], rng.choice(np.array([0, 255], np.uint8), size=(30, width))])
    image[:40, 0] ^= 1  # the nearest is one unit away, its neighbours a few
    image = np.concatenate([image, image[:10]])
    image[-10:, 1] ^= 1
    for ratio in (0.7, 0.8, 1.0):
        expected = matches_naive(query, image, ratio, mutual)
        assert match_descriptors(query, image, ratio, mutual=mutual).tolist() == [list(match) for match in expected]


@pytest.mark.parametrize("width", [258, 259, 300, 400])
def test_distances_beyond_what_float32_can_count_are_told_apart(width):
    image = np.full((2, width), 255, dtype=np.uint8)
    image[:, -1] = 1, 0  # squared distances to zero: 255^2 (width - 1) + 1, and one less
    query = np.zeros((1, width), dtype=np.uint8)
    assert match_descriptors(query, image, 1.0).tolist() == [[0, 1]]


@pytest.mark.parametrize("n", [1, 2, 3, 60, 61])
def test_odd_and_even_numbers_of_queries_are_matched_alike(n):
    rng = np.random.default_rng(1)
    query, image = rng.integers(0, 4, (61, 8), dtype=np.uint8)[-n:], rng.integers(0, 4, (50, 8), dtype=np.uint8)
    found = match_descriptors(query, image, 0.95)
    assert found.tolist() == [list(match) for match in matches_naive(query, image, 0.95, False)]
    assert len(found)


def test_a_repeated_image_feature_is_ambiguous_and_a_single_one_cannot_be_judged():
    one = np.array([[10, 20]], dtype=np.uint8)
    assert match_descriptors(one, np.repeat(one, 2, axis=0), 1.0).shape == (0, 2)
    assert match_descriptors(one, one, 1.0).shape == (0, 2)
    assert match_descriptors(one, np.array([[10, 20], [90, 0]], dtype=np.uint8), 0.8).tolist() == [[0, 0]]


@pytest.mark.parametrize(("n", "m"), [(0, 0), (0, 1), (1, 0), (0, 5), (5, 0), (1, 1), (2, 1)])
def test_too_few_features_match_nothing(n, m):
    query, image = np.zeros((n, 4), dtype=np.uint8), np.zeros((m, 4), dtype=np.uint8)
    matches = match_descriptors(query, image, 1.0)
    assert matches.shape == (0, 2)
    assert matches.dtype == np.int64


def test_a_prepared_query_gives_the_same_matches():
    rng = np.random.default_rng(2)
    query, image = rng.integers(0, 255, (30, 16), dtype=np.uint8), rng.integers(0, 255, (30, 16), dtype=np.uint8)
    prepared = prepare_descriptors(query, "query")
    assert match_descriptors(prepared, image, 1.0).tolist() == match_descriptors(query, image, 1.0).tolist()


@pytest.mark.parametrize(
    ("query", "image", "ratio", "named"),
    [
        (np.zeros((3, 4), np.uint8), np.zeros((3, 5), np.uint8), 0.8, "image descriptors: uint8 of 5 dimensions"),
        (np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.float32), 0.8, "image descriptors: float of 4"),
        (np.zeros((3, 4), np.int32), np.zeros((3, 4), np.int32), 0.8, "query descriptors: expected .* int32"),
        (np.zeros(4, np.uint8), np.zeros((3, 4), np.uint8), 0.8, "query descriptors"),
        (np.zeros((3, 0), np.uint8), np.zeros((3, 0), np.uint8), 0.8, "query descriptors"),
        (np.zeros((3, 4)), np.array([[0, 0, 0, 0], [0, np.nan, 0, 0]]), 0.8, "image descriptors: row 1"),
        (np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8), 0.0, "ratio"),
        (np.zeros((3, 4), np.uint8), np.zeros((3, 4), np.uint8), 1.01, "ratio"),
    ],
)
def test_unfit_descriptors_are_refused_by_name(query, image, ratio, named):
    with pytest.raises(InvalidInputError, match=named):
        match_descriptors(query, image, ratio)
