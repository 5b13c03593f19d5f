"""The measures of image retrieval against the slow oracle; the oracle itself against numbers worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import retrieval as oracle

from metricsearch.evaluation import retrieval

DATABASE = range(8)
# image 3 is junk; 1, 5 and 7 are relevant, 7 is not named; 4 and 5 tie
RANKING = [(1, 0.1), (3, 0.2), (0, 0.3), (4, 0.5), (5, 0.5), (2, 0.7)]
RELEVANT, JUNK = {1, 5, 7}, {3}


@pytest.mark.parametrize(("member", "rank", "worst"), [(1, 1, 1), (5, 3, 3), (7, 5, 5)])
def test_ranks_of_a_worked_example(member, rank, worst):
    assert oracle.rank_of(member, RANKING, RELEVANT, JUNK, DATABASE) == rank
    assert oracle.worst_rank_of(member, RANKING, RELEVANT, JUNK, DATABASE) == worst


def test_a_tie_is_won_by_number_and_lost_in_the_worst_case():
    ranking = [(1, 0.5), (2, 0.5)]
    assert oracle.rank_of(1, ranking, {1}, set(), range(3)) == 1
    assert oracle.worst_rank_of(1, ranking, {1}, set(), range(3)) == 2


def test_measures_of_a_worked_example():
    # without junk: 1, 0, 4, 5, 2: precision 1, then (1/3 + 2/4) / 2 in the fourth place
    assert oracle.average_precision(RANKING, RELEVANT, JUNK) == pytest.approx((1 + (1 / 3 + 1 / 2) / 2) / 3)
    assert oracle.average_precision([(0, 0.0), (1, 0.1)], {1}) == pytest.approx((0 + 1 / 2) / 2)
    assert oracle.average_precision([], {1}) == 0
    assert oracle.n_s([(4, 0), (5, 1), (9, 2), (6, 3), (7, 4)], {4, 5, 6, 7}) == 3
    assert oracle.perfect_retrieval([[1, 1, 4], [1, 2, 1]]) == pytest.approx(4 / 6)
    assert oracle.rank_curve([[1, 1, 4], [1, 2, 1]], 2.0, 100) == pytest.approx(5 / 6)
    assert oracle.recall_at(RANKING, RELEVANT, 5) == pytest.approx(2 / 3)
    assert (oracle.hit_at(RANKING, {5}, 4), oracle.hit_at(RANKING, {5}, 5)) == (0, 1)
    easy, hard = {1}, {5, 7}
    assert oracle.revisited_average_precision(RANKING, easy, hard, JUNK, "easy") == pytest.approx(1.0)
    assert oracle.revisited_average_precision(RANKING, set(), hard, JUNK, "easy") is None


@st.composite
def cases(draw):
    """(ranking, relevant, junk, database size): ties, images not named, empty answers, all or no junk."""
    n = draw(st.integers(1, 12))
    images = draw(st.permutations(range(n)))
    kinds = draw(st.lists(st.sampled_from(["relevant", "wrong", "junk"]), min_size=n, max_size=n))
    scores = draw(st.lists(st.integers(0, 3), max_size=n))
    ranking = sorted(zip(images, scores, strict=False), key=lambda pair: (pair[1], pair[0]))
    relevant = {image for image, kind in enumerate(kinds) if kind == "relevant"}
    return ranking, relevant, {image for image, kind in enumerate(kinds) if kind == "junk"}, n


@given(case=cases())
def test_ranks_match_the_oracle(case):
    ranking, relevant, junk, n = case
    ids, scores = [image for image, _ in ranking], [score for _, score in ranking]
    ref = [oracle.rank_of(member, ranking, relevant, junk, range(n)) for member in sorted(relevant)]
    comp = retrieval.relevant_ranks(ids, relevant, n, junk=junk)
    assert comp.tolist() == ref
    ref = [oracle.worst_rank_of(member, ranking, relevant, junk, range(n)) for member in sorted(relevant)]
    comp = retrieval.relevant_ranks(ids, relevant, n, junk=junk, scores=scores)
    assert comp.tolist() == ref


@given(case=cases(), n_first=st.integers(1, 14))
def test_precision_and_recall_match_the_oracle(case, n_first):
    ranking, relevant, junk, _ = case
    ids = [image for image, _ in ranking]
    cleaned = oracle.without(ranking, junk)
    assert retrieval.found_in_top(ids, relevant, n_first, junk=junk) == bool(oracle.hit_at(cleaned, relevant, n_first))
    assert retrieval.ns_score(ids, relevant) == oracle.n_s(ranking, relevant)
    if relevant:
        assert retrieval.average_precision(ids, relevant, junk=junk) == pytest.approx(
            oracle.average_precision(ranking, relevant, junk), abs=1e-14
        )
        assert retrieval.recall_at_n(ids, relevant, n_first, junk=junk) == pytest.approx(
            oracle.recall_at(cleaned, relevant, n_first)
        )
    else:
        assert math.isnan(retrieval.average_precision(ids, relevant, junk=junk))


@given(case=cases(), flags=st.lists(st.booleans(), min_size=12, max_size=12), query=st.integers(0, 11))
def test_revisited_and_holidays_protocols_match_the_oracle(case, flags, query):
    ranking, relevant, junk, n = case
    ids = [image for image, _ in ranking]
    easy = {image for image in relevant if flags[image]}
    hard = relevant - easy
    for difficulty in ("easy", "medium", "hard"):
        ref = oracle.revisited_average_precision(ranking, easy, hard, junk, difficulty)
        right, ignored = retrieval.revisited_sets(easy, hard, junk, difficulty)
        comp = retrieval.average_precision(ids, right, junk=ignored)
        assert math.isnan(comp) if ref is None else comp == pytest.approx(ref, abs=1e-14)
    # Holidays: the query is taken out of the answer before anything is counted
    others = relevant - {query}
    if others and query < n:
        ref = oracle.average_precision(oracle.without(ranking, {query}), others)
        assert retrieval.average_precision(ids, others, junk={query}) == pytest.approx(ref, abs=1e-14)


@given(
    ranks=st.lists(st.lists(st.integers(1, 40), min_size=3, max_size=3), min_size=1, max_size=6),
    percents=st.lists(st.integers(0, 400), min_size=1, max_size=5),
)
def test_perfect_retrieval_and_rank_curves_match_the_oracle(ranks, percents):
    percents = [percent / 4 for percent in percents]  # exact, so that a limit on a whole rank is one
    assert retrieval.perfect_retrieval(ranks) == pytest.approx(oracle.perfect_retrieval(ranks))
    comp = retrieval.rank_curve(ranks, 40, [percent / 100 for percent in percents])
    assert comp.tolist() == pytest.approx([oracle.rank_curve(ranks, percent, 40) for percent in percents])
