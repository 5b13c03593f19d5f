"""Measures of image retrieval against cases worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metricsearch.errors import DuplicateIdError, InvalidInputError
from metricsearch.evaluation import (
    average_precision,
    found_in_top,
    mean_average_precision,
    ns_score,
    perfect_retrieval,
    rank_curve,
    recall_at_n,
    relevant_ranks,
    revisited_sets,
)

# Right images 1, 3, 6; junk 9; the others are wrong.
ANSWER = [3, 9, 7, 1, 2, 6]
RIGHT, JUNK = {6, 1, 3}, {9}


def test_a_rank_counts_the_wrong_images_ahead_and_nothing_else():
    # Image 1 stands fourth, behind one right, one junk and one wrong image.
    assert relevant_ranks(ANSWER, RIGHT, 10, junk=JUNK).tolist() == [2, 1, 3]


def test_an_image_that_was_not_returned_comes_after_every_wrong_image():
    ranks = relevant_ranks([7, 1], {1, 3}, 1000, junk={0})
    assert ranks.tolist() == [2, 1 + 1000 - 2 - 1]
    assert relevant_ranks([], {1}, 5).tolist() == [5]
    assert relevant_ranks([], {1}, 1).tolist() == [1]  # there is no wrong image


def test_with_scores_a_tie_counts_against_the_right_image():
    ids, scores = [1, 2, 3, 4, 5], [0.1, 0.1, 0.2, 0.3, 0.3]
    assert relevant_ranks(ids, {1, 4}, 5).tolist() == [1, 3]
    assert relevant_ranks(ids, {1, 4}, 5, scores=scores).tolist() == [2, 4]
    assert relevant_ranks(ids, {1, 2}, 5, scores=scores).tolist() == [1, 1]  # right images do not push each other


def test_the_query_counts_neither_way_when_it_is_given_as_junk():
    assert relevant_ranks([8, 0, 5, 1, 2], {0, 1, 2}, 10, junk={8}).tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"ids": [1, 2], "relevant": {1}, "n_database": 2, "junk": {1}}, "junk: image 1 is relevant too"),
        ({"ids": [1, 2], "relevant": {3}, "n_database": 2}, "n_database: 2 images, but 3"),
        ({"ids": [1, 2], "relevant": {1}, "n_database": 2, "scores": [0.2, 0.1]}, "ascending"),
        ({"ids": [1, 2], "relevant": {1}, "n_database": 2, "scores": [0.2, math.nan]}, "ascending"),
        ({"ids": [1, 2], "relevant": {1}, "n_database": 2, "scores": [0.2]}, "one per image"),
        ({"ids": [1, 2], "relevant": {1.5}, "n_database": 2}, "relevant"),
    ],
)
def test_impossible_answers_are_refused_by_name(arguments, named):
    with pytest.raises(InvalidInputError, match=named):
        relevant_ranks(**arguments)


def test_an_image_given_twice_is_refused():
    with pytest.raises(DuplicateIdError, match="ids: ID 4"):
        average_precision([4, 2, 4], {2})


@settings(deadline=None)
@given(
    order=st.permutations(range(8)),
    right=st.sets(st.integers(0, 3), min_size=1),
    junk=st.sets(st.integers(4, 5)),
    n=st.integers(0, 8),
)
def test_a_shorter_answer_never_ranks_better(order, right, junk, n):
    whole = relevant_ranks(order, right, 8, junk=junk)
    cut = relevant_ranks(order[:n], right, 8, junk=junk)
    assert (cut >= whole).all()
    assert cut.max() <= 8 - len(right) - len(junk) + 1
    wrong = set(range(8)) - right - junk
    expected = [1 + sum(image in wrong for image in order[: order.index(one)]) for one in sorted(right)]
    assert whole.tolist() == expected


def test_perfect_retrieval_is_the_share_of_rank_one():
    assert perfect_retrieval([[1, 1, 2], [1, 5, 1]]) == pytest.approx(4 / 6)
    for empty in ([], [0, 1], [1.0]):
        with pytest.raises(InvalidInputError, match="ranks"):
            perfect_retrieval(empty)


def test_the_rank_curve_starts_at_rank_one_and_ends_at_the_whole_database():
    ranks = [1, 1, 2, 4, 1397]
    curve = rank_curve(ranks, 1400, [0, 1 / 1400, 2 / 1400, 3 / 1400, 4 / 1400, 0.05, 1])
    assert curve.tolist() == [0, 0.4, 0.6, 0.6, 0.8, 0.8, 1]
    assert rank_curve(ranks, 1400, 1 / 1400)[0] == perfect_retrieval(ranks)
    with pytest.raises(InvalidInputError, match="shares"):
        rank_curve(ranks, 1400, [5.0])


@pytest.mark.parametrize("n", [3, 7, 49, 1400, 6376, 10200])
def test_every_rank_is_reached_at_its_own_share(n):
    ranks = np.arange(1, n + 1)
    assert (rank_curve(ranks, n, ranks / n) * n == pytest.approx(ranks)) is True


def test_ns_score_counts_the_group_among_the_first_four():
    assert ns_score([0, 1, 9, 3, 2], {0, 1, 2, 3}) == 3
    assert ns_score([], {0, 1, 2, 3}) == 0
    assert ns_score([2, 1, 0, 3], {0, 1, 2, 3}) == 4


def test_top_n_and_recall_leave_the_junk_out():
    assert found_in_top([9, 9_000, 3], {3}, 1) is False
    assert found_in_top([9, 9_000, 3], {3}, 1, junk={9, 9_000}) is True
    assert found_in_top([], {3}, 5) is False
    assert recall_at_n(ANSWER, RIGHT, 1, junk=JUNK) == pytest.approx(1 / 3)
    assert recall_at_n(ANSWER, RIGHT, 3, junk=JUNK) == pytest.approx(2 / 3)
    assert recall_at_n(ANSWER, RIGHT, 3) == pytest.approx(1 / 3)
    assert math.isnan(recall_at_n(ANSWER, set(), 3))


def test_average_precision_of_cases_worked_out_by_hand():
    assert average_precision([1, 2], {1, 2}) == 1
    assert average_precision([5, 1], {1}) == pytest.approx((0 + 1 / 2) / 2)
    # Without junk: right, wrong, right, wrong, right: ((1 + 1) + (1/2 + 2/3) + (2/4 + 3/5)) / 2 / 3
    assert average_precision(ANSWER, RIGHT, junk=JUNK) == pytest.approx((2 + 1 / 2 + 2 / 3 + 2 / 4 + 3 / 5) / 6)
    assert average_precision([3], RIGHT) == pytest.approx(1 / 3)  # the two others were not returned
    assert average_precision([], RIGHT) == 0
    assert math.isnan(average_precision([1], set()))


def classic_average_precision(ids, relevant, junk):
    """The evaluation program of Oxford5k, image by image, written from its description."""
    recall_before, precision_before, area = 0.0, 1.0, 0.0
    found = seen = 0
    for image in ids:
        if image in junk:
            continue
        found += image in relevant
        seen += 1
        recall, precision = found / len(relevant), found / seen
        area += (recall - recall_before) * (precision_before + precision) / 2
        recall_before, precision_before = recall, precision
    return area


@settings(deadline=None)
@given(order=st.permutations(range(9)), right=st.sets(st.integers(0, 4), min_size=1), junk=st.sets(st.integers(5, 8)))
def test_average_precision_equals_the_classic_evaluation(order, right, junk):
    assert average_precision(order, right, junk=junk) == pytest.approx(classic_average_precision(order, right, junk))


def test_queries_without_relevant_images_do_not_count_in_the_mean():
    assert mean_average_precision([0.5, math.nan, 1.0]) == 0.75
    with pytest.raises(InvalidInputError, match="at least one query"):
        mean_average_precision([math.nan])


def test_the_three_settings_of_the_revisited_sets():
    easy, hard, junk = {1, 2}, {3}, {4}
    assert revisited_sets(easy, hard, junk, "easy") == ({1, 2}, {3, 4})
    assert revisited_sets(easy, hard, junk, "medium") == ({1, 2, 3}, {4})
    assert revisited_sets(easy, hard, junk, "hard") == ({3}, {1, 2, 4})
    with pytest.raises(InvalidInputError, match="setting"):
        revisited_sets(easy, hard, junk, "Medium")
