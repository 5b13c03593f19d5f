"""The learned order on constructed candidates, where it is known whether it can help."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize

from metricsearch.errors import FormatVersionError, InvalidInputError
from metricsearch.verification import CANDIDATE_FEATURES, LearnedReranker, VerifiedResult, candidate_features

INLIERS, SHARE = CANDIDATE_FEATURES.index("inliers"), CANDIDATE_FEATURES.index("inlier_share")


def examples(n_objects, per_object, informative, *, k=8, seed=0):
    """Candidates whose order by inliers is right by chance only; one feature tells the right one if `informative`."""
    rng = np.random.default_rng(seed)
    tables, labels, groups = [], [], []
    for query in range(n_objects * per_object):
        table = rng.normal(size=(k, len(CANDIDATE_FEATURES)))
        table[:, INLIERS] = np.sort(rng.integers(0, 60, k))[::-1]
        right = np.zeros(k, dtype=np.bool_)
        right[rng.integers(k)] = True
        if informative:
            table[:, SHARE] = rng.normal(size=k) * 0.3 + 2 * right
        tables.append(table)
        labels.append(right)
        groups.append(f"object {query // per_object}")
    return tables, labels, groups


def reciprocal_rank(right, order):
    return 1 / (1 + np.flatnonzero(right[order])[0])


def test_a_feature_that_tells_the_right_image_is_learned_and_kept():
    model = LearnedReranker.fit(*examples(12, 3, informative=True))
    assert model.kept
    assert model.gain.n_objects == 12
    assert model.gain.n_queries == 36
    assert model.gain.reciprocal_rank_after > 0.95 > 0.6 > model.gain.reciprocal_rank_before
    assert model.gain.top1_after > 0.9
    assert np.argmax(np.abs(model.weights)) == SHARE
    tables, labels, _ = examples(12, 3, informative=True, seed=1)
    fresh = [
        reciprocal_rank(right, np.argsort(-model.predict(table))) for table, right in zip(tables, labels, strict=True)
    ]
    assert np.mean(fresh) == pytest.approx(model.gain.reciprocal_rank_after, abs=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_features_that_tell_nothing_are_not_kept(seed):
    model = LearnedReranker.fit(*examples(12, 3, informative=False, seed=seed))
    assert not model.kept


def test_an_order_that_is_right_already_is_not_replaced():
    tables, labels, groups = examples(12, 3, informative=True)
    for table, right in zip(tables, labels, strict=True):
        table[[0, int(np.argmax(right))]] = table[[int(np.argmax(right)), 0]]
        right[:] = np.arange(len(right)) == 0
    model = LearnedReranker.fit(tables, labels, groups)
    assert model.gain.reciprocal_rank_before == 1
    assert not model.kept


def test_an_object_is_never_tested_by_a_model_that_saw_it():
    """Each object has a feature of its own that tells its right image: of use only to a model trained on it."""
    rng = np.random.default_rng(0)
    tables, labels, objects = [], [], []
    for query in range(48):
        table, right = np.zeros((6, len(CANDIDATE_FEATURES))), np.arange(6) == rng.integers(6)
        table[:, query % 8] = right
        tables.append(table)
        labels.append(right)
        objects.append(query % 8)
    by_object = LearnedReranker.fit(tables, labels, objects)
    assert by_object.gain.reciprocal_rank_after == by_object.gain.reciprocal_rank_before
    assert not by_object.kept
    by_query = LearnedReranker.fit(tables, labels, list(range(48)))  # as if every query showed another object
    assert by_query.gain.reciprocal_rank_after == 1


def test_the_weights_minimise_the_regularised_logistic_loss():
    tables, labels, groups = examples(6, 4, informative=True)
    model = LearnedReranker.fit(tables, labels, groups, l2=0.7)
    x, y = np.concatenate(tables), np.concatenate(labels).astype(float)
    assert model.means == pytest.approx(x.mean(axis=0))
    standard = (x - x.mean(axis=0)) / x.std(axis=0)

    def loss(beta):
        margins = standard @ beta[:-1] + beta[-1]
        return np.logaddexp(0, margins).sum() - y @ margins + 0.35 * (beta[:-1] ** 2).sum()

    best = minimize(loss, np.zeros(x.shape[1] + 1), method="BFGS", options={"gtol": 1e-8})
    assert np.append(model.weights, model.intercept) == pytest.approx(best.x, abs=1e-4)
    assert model.predict(tables[0]) == pytest.approx(
        1 / (1 + np.exp(-(standard[:8] @ best.x[:-1] + best.x[-1]))), abs=1e-4
    )


def test_separable_examples_and_constant_features_give_finite_weights():
    tables, labels, groups = examples(4, 2, informative=False)
    for table, right in zip(tables, labels, strict=True):
        table[:] = 3.7
        table[:, INLIERS] = right * 1e6
    model = LearnedReranker.fit(tables, labels, groups)
    assert np.isfinite(model.weights).all()
    assert np.flatnonzero(np.abs(model.weights) > 1e-9).tolist() == [INLIERS]
    assert (model.predict(tables[0]) > 0.5).tolist() == labels[0].tolist()


def test_the_same_examples_give_the_same_model_and_json_gives_it_back():
    one, other = (LearnedReranker.fit(*examples(8, 2, informative=True)) for _ in range(2))
    assert one.to_dict() == other.to_dict()
    back = LearnedReranker.from_dict(json.loads(json.dumps(one.to_dict())))
    assert back.to_dict() == one.to_dict()
    table = examples(1, 1, informative=True, seed=5)[0][0]
    assert back.predict(table).tobytes() == one.predict(table).tobytes()
    assert back.kept is one.kept
    assert back.gain == one.gain


def result_of(scores, inliers, matches):
    found = tuple(SimpleNamespace(n_matches=m, n_inliers=i) for m, i in zip(matches, inliers, strict=False))
    padded = [*inliers, *[0] * (len(scores) - len(inliers))]
    return VerifiedResult(np.arange(len(scores)) + 10, np.array(scores, dtype=float), np.array(padded), found)


def test_the_features_of_candidates_worked_out_by_hand():
    # By score: image 11 (0.5), 10 (0.8), 12 (0.9); image 13 was not verified.
    table = candidate_features(result_of([0.8, 0.5, 0.9, 0.1], [30, 10, 0], [40, 50, 0]))
    columns = dict(zip(CANDIDATE_FEATURES, table.T.round(12).tolist(), strict=True))
    assert columns["score"] == [0.8, 0.5, 0.9]
    assert columns["score_behind_best"] == [0.3, 0, 0.4]
    assert columns["score_gap"] == [0.1, 0.3, 0]
    assert columns["reciprocal_rank"] == [1 / 2, 1, pytest.approx(1 / 3)]
    assert columns["log_matches"] == [pytest.approx(np.log(41)), pytest.approx(np.log(51)), 0]
    assert columns["inliers"] == [30, 10, 0]
    assert columns["log_inliers"] == [pytest.approx(np.log(31)), pytest.approx(np.log(11)), 0]
    assert columns["inlier_share"] == [0.75, 0.2, 0]
    assert columns["inliers_of_best"] == [1, pytest.approx(1 / 3), 0]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_candidates_have_finite_features(n):
    table = candidate_features(result_of([0.0] * 3, [0] * n, [0] * n))
    assert table.shape == (n, len(CANDIDATE_FEATURES))
    assert np.isfinite(table).all()


def model_of(weights, *, kept):
    width = len(CANDIDATE_FEATURES)
    saved = LearnedReranker.fit(*examples(4, 2, informative=True)).to_dict()
    chosen = [weights.get(name, 0.0) for name in CANDIDATE_FEATURES]
    return LearnedReranker.from_dict(
        {**saved, "weights": chosen, "means": [0.0] * width, "deviations": [1.0] * width, "kept": kept}
    )


def test_a_kept_model_orders_the_verified_images_and_no_others():
    result = result_of([0.8, 0.5, 0.9, 0.5, 0.1, 0.0], [30, 20, 10, 0], [300, 25, 10, 0])
    ordered = model_of({"inlier_share": 1.0}, kept=True).rerank(result)
    assert ordered.ids.tolist() == [12, 11, 10, 13, 14, 15]
    assert ordered.n_inliers.tolist() == [10, 20, 30, 0, 0, 0]
    assert ordered.scores.tolist() == [0.9, 0.5, 0.8, 0.5, 0.1, 0.0]
    assert [found.n_matches for found in ordered.verifications] == [10, 25, 300, 0]
    assert model_of({}, kept=True).rerank(result).ids.tolist() == result.ids.tolist()  # all equal: as they stood
    assert model_of({"inlier_share": 1.0}, kept=False).rerank(result) is result
    empty = result_of([], [], [])
    assert model_of({"score": 1.0}, kept=True).rerank(empty).ids.tolist() == []


def change(**changes):
    def apply(tables, labels, groups):
        return {"tables": tables, "labels": labels, "groups": groups} | changes

    return apply


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (lambda t, lab, g: {"tables": t[1:], "labels": lab, "groups": g}, "one per table, 7"),
        (change(groups=["same"] * 8), "two objects"),
        (lambda t, lab, g: {"tables": [t[0][:, :3], *t[1:]], "labels": lab, "groups": g}, r"tables\[0\]"),
        (lambda t, lab, g: {"tables": [*t[:5], t[5] * np.nan, *t[6:]], "labels": lab, "groups": g}, r"tables\[5\]"),
        (lambda t, lab, g: {"tables": t, "labels": [lab[0][1:], *lab[1:]], "groups": g}, r"labels\[0\]"),
        (lambda t, lab, g: {"tables": t, "labels": [x.astype(int) for x in lab], "groups": g}, r"labels\[0\]"),
        (lambda t, lab, g: {"tables": t, "labels": [x & False for x in lab], "groups": g}, "no right"),
        (change(l2=0), "l2"),
        (change(n_folds=1), "n_folds"),
    ],
)
def test_unfit_examples_are_refused_by_name(changes, named):
    with pytest.raises(InvalidInputError, match=named):
        LearnedReranker.fit(**changes(*examples(4, 2, informative=True)))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"format": "other"}, FormatVersionError),
        ({"version": 2}, FormatVersionError),
        ({"features": ["score"]}, FormatVersionError),
        ({"weights": [1.0]}, InvalidInputError),
        ({"weights": None}, InvalidInputError),
        ({"intercept": float("nan")}, InvalidInputError),
        ({"deviations": [0.0] * len(CANDIDATE_FEATURES)}, InvalidInputError),
        ({"kept": "yes"}, InvalidInputError),
        ({"gain": {}}, InvalidInputError),
    ],
    ids=str,
)
def test_a_damaged_model_is_refused(changes, error):
    saved = LearnedReranker.fit(*examples(4, 2, informative=True)).to_dict()
    with pytest.raises(error, match="learned re-ranker"):
        LearnedReranker.from_dict({**saved, **changes})
    with pytest.raises(FormatVersionError):
        LearnedReranker.from_dict([])
