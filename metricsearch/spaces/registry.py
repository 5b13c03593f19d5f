"""Metrics by name."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metricsearch.errors import InvalidInputError, NonMetricError, UnknownNameError
from metricsearch.spaces.discrete import Hamming, Jaccard, Levenshtein
from metricsearch.spaces.metric import FunctionMetric, Metric
from metricsearch.spaces.signatures import SQFD, Hausdorff
from metricsearch.spaces.vectors import Angular, Chebyshev, Euclidean, JensenShannon, Manhattan
from metricsearch.spaces.weighted import Weighted, WeightedPart
from metricsearch.validation import check_integer


def _weighted(parts: Any) -> Weighted:
    """The combination of a spec: parts of the form {"metric": ..., "columns": [start, stop], "weight": ...}."""
    if isinstance(parts, str | Mapping) or not isinstance(parts, Sequence):
        raise InvalidInputError(f"metric weighted: parts: expected a list, got {parts!r:.80}")
    return Weighted([_weighted_part(part, f"metric weighted: parts[{i}]") for i, part in enumerate(parts)])


def _weighted_part(part: Any, where: str) -> WeightedPart:
    if not isinstance(part, Mapping) or set(part) != {"metric", "columns", "weight"}:
        raise InvalidInputError(f"{where}: expected the keys metric, columns and weight, got {part!r:.80}")
    columns, weight = part["columns"], part["weight"]
    if not isinstance(columns, Sequence) or len(columns) != 2:
        raise InvalidInputError(f"{where}: columns: expected [start, stop], got {columns!r:.80}")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InvalidInputError(f"{where}: weight: expected a number > 0, got {weight!r:.80}")
    start = check_integer(columns[0], f"{where}: columns: start", 0)
    stop = check_integer(columns[1], f"{where}: columns: stop", start + 1)
    return WeightedPart(get_metric(part["metric"]), start, stop, float(weight))


_METRICS: dict[str, Callable[..., Metric]] = {
    "angular": Angular,
    "chebyshev": Chebyshev,
    "euclidean": Euclidean,
    "hamming": Hamming,
    "hausdorff": Hausdorff,
    "jaccard": Jaccard,
    "jensen_shannon": JensenShannon,
    "levenshtein": Levenshtein,
    "manhattan": Manhattan,
    "sqfd": SQFD,
    "weighted": _weighted,
}

_NON_METRICS = {
    "cosine": "angular (the same order of neighbours)",
    "sqeuclidean": "euclidean (the same order of neighbours)",
    "kullback_leibler": "jensen_shannon (its symmetric, bounded relative)",
}


def metric_names() -> list[str]:
    """Names that `get_metric` knows, sorted."""
    return sorted(_METRICS)


def get_metric(
    metric: str | Mapping[str, Any] | Metric | Callable[[Any, Any], Any], *, kind: str | None = None
) -> Metric:
    """The metric of a name, a spec (a name with parameters, as `Metric.spec` gives it), or a function of two objects.

    kind : kind of objects; a user's function works on "vectors" unless told otherwise.
    Raises UnknownNameError for an unknown name, NonMetricError for the name of a distance that is no metric,
    InvalidInputError for wrong parameters, for a spec of a user's function and where `kind` is not the metric's.
    """
    found = _resolve(metric, kind)
    if kind is not None and found.kind.name != kind:
        raise InvalidInputError(f"metric: {found.name} works on {found.kind.name}, not on {kind!r}")
    return found


def _resolve(metric: str | Mapping[str, Any] | Metric | Callable[[Any, Any], Any], kind: str | None) -> Metric:
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return _from_spec({"name": metric})
    if isinstance(metric, Mapping):
        return _from_spec(metric)
    if callable(metric):
        return FunctionMetric(metric, kind or "vectors")
    raise InvalidInputError(f"metric: expected a name, a spec or a function of two objects, got {metric!r:.80}")


def _from_spec(spec: Mapping[str, Any]) -> Metric:
    name = spec.get("name")
    if not isinstance(name, str):
        raise InvalidInputError(f'metric: expected a spec like {{"name": "euclidean"}}, got {dict(spec)!r:.80}')
    if name.startswith("user:"):
        raise InvalidInputError(f"metric: {name} is a user's function and only its name was kept; pass the function")
    if name in _NON_METRICS:
        raise NonMetricError(f"metric: {name} breaks the triangle inequality; use {_NON_METRICS[name]}")
    if name not in _METRICS:
        similar = difflib.get_close_matches(name, _METRICS, n=1)
        hint = f" (did you mean {similar[0]!r}?)" if similar else ""
        raise UnknownNameError(f"metric: there is no {name!r}{hint}; known: {', '.join(metric_names())}")
    build = _METRICS[name]
    parameters = {key: value for key, value in spec.items() if key != "name"}
    known = inspect.signature(build).parameters
    unknown = sorted(str(key) for key in set(parameters) - set(known))
    missing = [key for key, known_as in known.items() if known_as.default is known_as.empty and key not in parameters]
    if unknown or missing:
        raise InvalidInputError(
            f"metric {name}: unknown parameters {unknown}, missing parameters {missing}; known: {list(known)}"
        )
    return build(**parameters)
