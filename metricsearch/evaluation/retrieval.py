"""Measures of image retrieval, one query at a time: ranks of the right images, N-S score, average precision.

An answer is `ids`: images best first, all different, possibly fewer than the database has. Right images that are not
in it count as if they came after every wrong image of the database: nothing is gained by answering less.
`relevant` are the right images; `junk` counts neither as right nor as wrong and is taken out of the answer before
anything is counted: the junk of the Oxford protocol, and the query itself where it is an image of the database
(Holidays; the "other three images" of Nistér and Stewénius).

Sources: D. Nistér, H. Stewénius, Scalable Recognition with a Vocabulary Tree, CVPR 2006 ("NS06"), section 4; the
UKBench page (N-S score); J. Philbin et al., Object retrieval with large vocabularies and fast spatial matching, CVPR
2007, and its compute_ap (average precision); H. Jégou et al., Hamming embedding and weak geometric consistency, ECCV
2008 (Holidays); F. Radenović et al., Revisiting Oxford and Paris, CVPR 2018 (easy, medium, hard).
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_choice, check_ids, check_positive

REVISITED_SETTINGS = ("easy", "medium", "hard")
_NS_DEPTH = 4  # images of one object in UKBench


def relevant_ranks(
    ids: ArrayLike,
    relevant: Iterable[int],
    n_database: int,
    *,
    junk: Iterable[int] = (),
    scores: ArrayLike | None = None,
) -> NDArray[np.int64]:
    """Rank of every relevant image by ascending ID, (n_relevant,) int64: 1 + number of wrong images ahead of it.

    Other right images ahead do not count, so a query with three right images in front has the ranks 1, 1, 1 (NS06
    section 4; specification 2.1). n_database: images of the database, junk included. A relevant image that is not in
    `ids` gets 1 + the number of all wrong images.

    scores: (n,) of `ids`, ascending. With them the ranks are those of the worst case: a wrong image of equal score
    counts as ahead. Without them ties stand as `ids` orders them.
    Raises InvalidInputError for IDs given twice, relevant images that are junk too, more images than n_database.
    """
    answer, right, ignored = _checked(ids, relevant, junk)
    images = np.unique(np.concatenate([answer, right, ignored]))
    if check_positive(n_database, "n_database") < len(images):
        raise InvalidInputError(f"n_database: {n_database} images, but {len(images)} different ones are named")
    is_right = np.isin(answer, right)
    is_wrong = ~is_right & ~np.isin(answer, ignored)
    wrong_before = np.concatenate([[0], np.cumsum(is_wrong)])
    places = np.flatnonzero(is_right)
    ends = places if scores is None else _ends_of_ties(scores, len(answer))[places]
    ranks = np.full(len(right), 1 + n_database - len(right) - len(ignored), dtype=np.int64)
    ranks[np.searchsorted(right, answer[places])] = 1 + wrong_before[ends]
    return ranks


def perfect_retrieval(ranks: ArrayLike) -> float:
    """Share of (query, relevant image) pairs that no wrong image comes before, 0..1: the measure of NS06 Table 1.

    ranks: of `relevant_ranks`, all queries together, any shape. Raises InvalidInputError without any.
    """
    return float(np.mean(_checked_ranks(ranks) == 1))


def rank_curve(ranks: ArrayLike, n_database: int, shares: ArrayLike) -> NDArray[np.float64]:
    """Share of (query, relevant image) pairs whose rank lies within the first share of the database (NS06 Fig. 6).

    ranks: of `relevant_ranks`, all queries together. shares: (m,) of the database, 0..1; 1 / n_database is rank 1.
    Returns (m,) float64. Raises InvalidInputError without any rank, or for shares outside 0..1.
    """
    values = np.sort(_checked_ranks(ranks), axis=None)
    parts = np.atleast_1d(np.asarray(shares, dtype=np.float64))
    if not ((parts >= 0) & (parts <= 1)).all():
        raise InvalidInputError("shares: expected shares of the database in 0..1 (5 % is 0.05)")
    limits = np.floor(parts * check_positive(n_database, "n_database") * (1 + 1e-12))  # 3/1400 * 1400 < 3 in floats
    within: NDArray[np.float64] = np.searchsorted(values, limits, side="right") / len(values)
    return within


def ns_score(ids: ArrayLike, group: Iterable[int]) -> int:
    """Number of images of the query's group among the first four: 0..4, whose mean over queries is the N-S score.

    group: the images of the object in the database, the query itself included; UKBench has four. It is four times
    the recall at 4. Where the query is not an image of the database, a group has one image less than the photos
    of the object, 4 cannot be reached, and the score must not be set beside that of UKBench.
    """
    answer, right, _ = _checked(ids, group, ())
    return int(np.isin(answer[:_NS_DEPTH], right).sum())


def found_in_top(ids: ArrayLike, relevant: Iterable[int], n: int, *, junk: Iterable[int] = ()) -> bool:
    """Whether a relevant image is among the first n; the mean over queries is the top-n rate (n = 1: top-1)."""
    return bool(_relevant_in_answer(ids, relevant, junk)[0][: check_positive(n, "n")].any())


def recall_at_n(ids: ArrayLike, relevant: Iterable[int], n: int, *, junk: Iterable[int] = ()) -> float:
    """Share of the relevant images that are among the first n, 0..1; NaN for a query without relevant images."""
    is_right, n_relevant = _relevant_in_answer(ids, relevant, junk)
    found = int(is_right[: check_positive(n, "n")].sum())
    return found / n_relevant if n_relevant else float("nan")


def average_precision(ids: ArrayLike, relevant: Iterable[int], *, junk: Iterable[int] = ()) -> float:
    """Area under the precision-recall curve by the trapezoid rule, 0..1; NaN for a query without relevant images.

    The classic evaluation of Oxford5k and Paris6k, used alike by Holidays and the revisited sets: with the junk taken
    out, each relevant image adds 1 / n_relevant times the mean of the precision just before it and the one at it;
    before the first place the precision is 1. Relevant images that are not in `ids` add nothing.
    """
    is_right, n_relevant = _relevant_in_answer(ids, relevant, junk)
    if not n_relevant:
        return float("nan")
    places = np.flatnonzero(is_right)
    found_before = np.arange(len(places))
    before = np.divide(found_before, places, out=np.ones(len(places)), where=places > 0)
    at = (found_before + 1) / (places + 1)
    return float((before + at).sum() / (2 * n_relevant))


def mean_average_precision(values: ArrayLike) -> float:
    """Mean of `average_precision` over the queries that have relevant images (the others are NaN and left out).

    The revisited sets have queries without easy, or without hard, images. Raises InvalidInputError when none is left.
    """
    averages = np.asarray(values, dtype=np.float64)
    counted = averages[~np.isnan(averages)]
    if not counted.size:
        raise InvalidInputError("values: expected the average precision of at least one query with relevant images")
    return float(counted.mean())


def revisited_sets(
    easy: Iterable[int], hard: Iterable[int], junk: Iterable[int], setting: str
) -> tuple[frozenset[int], frozenset[int]]:
    """(relevant, junk) of a query of ROxford or RParis under one of three settings (Radenović et al. 2018, section 3).

    easy: easy images are right, hard ones are junk. medium: both are right. hard: hard ones are right, easy are junk.
    """
    easy, hard, junk = frozenset(easy), frozenset(hard), frozenset(junk)
    check_choice(setting, "setting", REVISITED_SETTINGS)
    if setting == "easy":
        return easy, junk | hard
    return (easy | hard, junk) if setting == "medium" else (hard, junk | easy)


def _checked(
    ids: ArrayLike, relevant: Iterable[int], junk: Iterable[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The answer as given; relevant and junk images ascending."""
    answer = check_ids(ids, "ids")
    right, ignored = (np.sort(check_ids(list(part), name)) for part, name in ((relevant, "relevant"), (junk, "junk")))
    both = np.intersect1d(right, ignored)
    if both.size:
        raise InvalidInputError(f"junk: image {both[0]} is relevant too; an image is either right or junk")
    return answer, right, ignored


def _relevant_in_answer(ids: ArrayLike, relevant: Iterable[int], junk: Iterable[int]) -> tuple[NDArray[np.bool_], int]:
    """Which images of the answer without its junk are relevant, and how many relevant images there are."""
    answer, right, ignored = _checked(ids, relevant, junk)
    return np.isin(answer[~np.isin(answer, ignored)], right), len(right)


def _ends_of_ties(scores: ArrayLike, n: int) -> NDArray[np.int64]:
    """(n,) place after the last image whose score equals that of image i."""
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (n,):
        raise InvalidInputError(f"scores: expected one per image of ids, {n} in total, got shape {values.shape}")
    if not (values[:-1] <= values[1:]).all():
        raise InvalidInputError("scores: expected ascending scores, best image first; leave them out after re-ranking")
    return np.searchsorted(values, values, side="right")


def _checked_ranks(ranks: ArrayLike) -> NDArray[np.int64]:
    values = np.asarray(ranks)
    if not values.size or values.dtype.kind not in "iu" or (values < 1).any():
        raise InvalidInputError("ranks: expected at least one whole number >= 1, as relevant_ranks gives them")
    return values.astype(np.int64)
