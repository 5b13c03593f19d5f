"""An order of verified candidates learned from examples: a logistic model of "this image shows the query's object".

It is trained and tested on different objects, and applied only where it beat the order by inliers on objects that it
had not seen.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import FormatVersionError, InvalidInputError
from metricsearch.validation import check_integer
from metricsearch.verification.reranking import VerifiedResult

CANDIDATE_FEATURES = (
    "score",
    "score_behind_best",  # score minus the best score
    "score_gap",  # to the next image by score; 0 for the last
    "reciprocal_rank",  # 1 / place by score
    "log_matches",  # ln(1 + matches)
    "inliers",
    "log_inliers",  # ln(1 + inliers)
    "inlier_share",  # inliers / matches
    "inliers_of_best",  # inliers / most inliers of any candidate
)
FORMAT, VERSION = "metricsearch-learned-reranker", 1
_MAX_STEPS = 50  # Newton needs about ten
_CERTAINTY = 2.0  # standard errors that a gain must be away from chance


def candidate_features(result: VerifiedResult) -> NDArray[np.float64]:
    """What the model knows of each verified image, (n_verified, n_features), in the order of the result.

    Columns as in CANDIDATE_FEATURES. Images after the verified ones have no row.
    """
    n = len(result.verifications)
    scores, inliers = result.scores[:n], result.n_inliers[:n].astype(np.float64)
    matches = np.array([verification.n_matches for verification in result.verifications], dtype=np.float64)
    table = np.zeros((n, len(CANDIDATE_FEATURES)))
    if not n:
        return table
    by_score = np.lexsort((result.ids[:n], scores))
    ascending = scores[by_score]
    table[:, 0] = scores
    table[:, 1] = scores - ascending[0]
    table[by_score[:-1], 2] = np.diff(ascending)
    table[by_score, 3] = 1 / np.arange(1, n + 1)
    table[:, 4] = np.log1p(matches)
    table[:, 5] = inliers
    table[:, 6] = np.log1p(inliers)
    table[:, 7] = inliers / np.maximum(matches, 1)
    table[:, 8] = inliers / max(inliers.max(), 1.0)
    return table


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutGain:
    """What the learned order gained on objects that the model had not seen, means over all queries."""

    n_objects: int
    n_queries: int
    reciprocal_rank_before: float  # of the first right image, by inliers; 0 where there is none among the candidates
    reciprocal_rank_after: float
    top1_before: float
    top1_after: float
    standard_error: float  # of the gain in reciprocal rank, over objects


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LearnedReranker:
    """A logistic model over `candidate_features`, and whether it is worth using."""

    means: NDArray[np.float64]  # (n_features,) of the training candidates
    deviations: NDArray[np.float64]  # (n_features,) 1 for a feature that never varied
    weights: NDArray[np.float64]  # (n_features,) of the standardised features
    intercept: float
    kept: bool  # False: `rerank` leaves the order by inliers
    gain: HeldOutGain

    @classmethod
    def fit(
        cls,
        tables: Sequence[ArrayLike],
        labels: Sequence[ArrayLike],
        groups: Sequence[Hashable],
        *,
        l2: float = 1.0,
        n_folds: int = 5,
        seed: int = 0,
    ) -> "LearnedReranker":
        """Train on the candidates of some queries and find out by cross-validation over objects whether it helps.

        tables: per query (k, n_features) of `candidate_features`, rows in the order by inliers. labels: per query
        (k,) bool, whether the image shows the query's object. groups: per query the object; all queries of an object
        are on the same side of each split, which `seed` draws. l2: weight of half the squared length of the weights
        beside the summed logistic loss.

        Each of `n_folds` parts of the objects (no more than there are) is ordered by a model trained on the others.
        The model, trained at last on all, is kept if the mean reciprocal rank of the first right image grew by more
        than two standard errors over objects and top-1 did not fall. The same input gives the same model.
        Raises InvalidInputError for unequal lengths, bad values, less than two objects, or no right or no wrong
        candidate in the data of a split.
        """
        rows, right = _checked_examples(tables, labels, groups)
        if isinstance(l2, bool) or not isinstance(l2, int | float) or not 0 < l2 < math.inf:
            raise InvalidInputError(f"l2: expected a number > 0, got {l2!r}")
        objects = list(dict.fromkeys(groups))
        object_of = np.array([objects.index(group) for group in groups])
        n_parts = min(check_integer(n_folds, "n_folds", 2), len(objects))
        part_of = np.empty(len(objects), dtype=np.int64)
        part_of[np.random.default_rng(seed).permutation(len(objects))] = np.arange(len(objects)) % n_parts
        before = np.array([_reciprocal_rank(found) for found in right])
        after = np.empty(len(rows))
        for part in range(n_parts):
            held_out = part_of[object_of] == part
            model = _logistic(rows, right, np.flatnonzero(~held_out), float(l2))
            for query in np.flatnonzero(held_out):
                after[query] = _reciprocal_rank(right[query][_order(rows[query], *model)])
        means, deviations, weights, intercept = _logistic(rows, right, np.arange(len(rows)), float(l2))
        gain, kept = _judge(before, after, object_of)
        return cls(means=means, deviations=deviations, weights=weights, intercept=intercept, kept=kept, gain=gain)

    def predict(self, table: ArrayLike) -> NDArray[np.float64]:
        """Probability that each candidate is right, (k,), for rows of `candidate_features` (of one query)."""
        rows = _checked_table(table, "table")
        return _sigmoid((rows - self.means) / self.deviations @ self.weights + self.intercept)

    def rerank(self, result: VerifiedResult) -> VerifiedResult:
        """The verified images by probability, most likely first, ties as they stood; unchanged unless `kept`."""
        n = len(result.verifications)
        if not self.kept or not n:
            return result
        order = np.arange(len(result.ids))
        order[:n] = _order(candidate_features(result), self.means, self.deviations, self.weights, self.intercept)
        return VerifiedResult(
            result.ids[order],
            result.scores[order],
            result.n_inliers[order],
            tuple(result.verifications[place] for place in order[:n]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything that `from_dict` needs, as JSON can hold it."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "features": list(CANDIDATE_FEATURES),
            "means": self.means.tolist(),
            "deviations": self.deviations.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
            "kept": self.kept,
            "gain": {name: getattr(self.gain, name) for name in HeldOutGain.__slots__},
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "LearnedReranker":
        """The model that `to_dict` wrote; the same predictions bit for bit.

        Raises FormatVersionError for another format, version or set of features, InvalidInputError for bad values.
        """
        if not isinstance(saved, dict) or (saved.get("format"), saved.get("version")) != (FORMAT, VERSION):
            raise FormatVersionError(f"learned re-ranker: expected format {FORMAT!r}, version {VERSION}; fit it again")
        if saved.get("features") != list(CANDIDATE_FEATURES):
            raise FormatVersionError("learned re-ranker: it was fitted to other features of candidates; fit it again")
        try:
            arrays = {name: np.array(saved[name], dtype=np.float64) for name in ("means", "deviations", "weights")}
            intercept, kept, gain = float(saved["intercept"]), saved["kept"], HeldOutGain(**saved["gain"])
        except (KeyError, TypeError, ValueError) as problem:
            raise InvalidInputError(f"learned re-ranker: a field is missing or malformed ({problem})") from None
        sound = all(array.shape == (len(CANDIDATE_FEATURES),) and np.isfinite(array).all() for array in arrays.values())
        if (
            not sound
            or not (arrays["deviations"] > 0).all()
            or not math.isfinite(intercept)
            or kept not in (True, False)
        ):
            raise InvalidInputError("learned re-ranker: expected finite numbers, one per feature, and deviations > 0")
        return cls(**arrays, intercept=intercept, kept=kept, gain=gain)


def _checked_examples(
    tables: Sequence[ArrayLike], labels: Sequence[ArrayLike], groups: Sequence[Hashable]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    if not len(tables) == len(labels) == len(groups):
        raise InvalidInputError(
            f"labels, groups: expected one per table, {len(tables)}, got {len(labels)} and {len(groups)}"
        )
    if len(set(groups)) < 2:
        raise InvalidInputError("groups: expected queries of two objects at least, to test on objects not trained on")
    rows = [_checked_table(table, f"tables[{query}]") for query, table in enumerate(tables)]
    right = [np.asarray(label) for label in labels]
    for query, (row, label) in enumerate(zip(rows, right, strict=True)):
        if label.shape != (len(row),) or (label.size and label.dtype != np.bool_):
            raise InvalidInputError(
                f"labels[{query}]: expected {len(row)} booleans, got shape {label.shape}, dtype {label.dtype}"
            )
    return rows, [label.astype(np.bool_) for label in right]


def _checked_table(table: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(table, dtype=np.float64)
    width = len(CANDIDATE_FEATURES)
    if array.ndim != 2 or array.shape[1] != width or not np.isfinite(array).all():
        raise InvalidInputError(
            f"{name}: expected (k, {width}) finite numbers, got shape {array.shape}, NaN or infinity"
        )
    return array


def _logistic(
    rows: list[NDArray[np.float64]], right: list[NDArray[np.bool_]], queries: NDArray[np.int64], l2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """(means, deviations, weights, intercept) that minimise the regularised logistic loss over these queries.

    Newton's method with halved steps; the loss is strictly convex in the weights, so there is one answer.
    """
    x = np.concatenate([rows[query] for query in queries])
    y = np.concatenate([right[query] for query in queries]).astype(np.float64)
    if not 0 < y.sum() < len(y):
        raise InvalidInputError(
            "labels: the queries to train on have no right, or no wrong, candidate; give more of them"
        )
    means, deviations = x.mean(axis=0), x.std(axis=0)
    deviations[deviations <= 1e-12 * np.maximum(1.0, np.abs(means))] = 1.0
    x = np.column_stack([(x - means) / deviations, np.ones(len(x))])
    penalty = np.append(np.full(x.shape[1] - 1, l2), 0.0)  # the intercept is free
    beta = np.zeros(x.shape[1])
    loss = _loss(x, y, beta, penalty)
    for _ in range(_MAX_STEPS):
        p = _sigmoid(x @ beta)
        gradient = x.T @ (p - y) + penalty * beta
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (better := _loss(x, y, beta - size * step, penalty)) > loss and size > 1e-10:
            size /= 2
        if not loss - better > 1e-12 * max(1.0, loss):
            break
        beta, loss = beta - size * step, better
    return means, deviations, beta[:-1], float(beta[-1])


def _loss(x: NDArray[np.float64], y: NDArray[np.float64], beta: NDArray[np.float64], penalty: Any) -> float:
    margins = x @ beta
    return float((np.logaddexp(0.0, margins) - y * margins).sum() + 0.5 * (penalty * beta**2).sum())


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0.0, -values))


def _order(
    table: NDArray[np.float64], means: Any, deviations: Any, weights: Any, intercept: float
) -> NDArray[np.int64]:
    """Rows by falling probability; ties as they stood."""
    return np.argsort(-((table - means) / deviations @ weights + intercept), kind="stable")


def _reciprocal_rank(right: NDArray[np.bool_]) -> float:
    """1 / place of the first right candidate; 0 without one."""
    return 1 / (1 + int(np.argmax(right))) if right.any() else 0.0


def _judge(
    before: NDArray[np.float64], after: NDArray[np.float64], object_of: NDArray[np.int64]
) -> tuple[HeldOutGain, bool]:
    """The gain, and whether it is one: queries of one object are no independent witnesses, so objects are counted."""
    n_objects = int(object_of.max()) + 1
    sums = np.bincount(object_of, weights=after - before, minlength=n_objects)
    # Sums over objects, about their mean, carry the error of the mean over queries.
    standard_error = float(sums.std(ddof=1) * np.sqrt(n_objects) / len(before))
    gain = HeldOutGain(
        n_objects=n_objects,
        n_queries=len(before),
        reciprocal_rank_before=float(before.mean()),
        reciprocal_rank_after=float(after.mean()),
        top1_before=float((before == 1).mean()),
        top1_after=float((after == 1).mean()),
        standard_error=standard_error,
    )
    difference = gain.reciprocal_rank_after - gain.reciprocal_rank_before
    return gain, bool(difference > _CERTAINTY * standard_error and gain.top1_after >= gain.top1_before)
