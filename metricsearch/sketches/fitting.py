"""Choosing a sketch: what a kind leaves open is decided by how well the sketches of a sample order its neighbours."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.sketches.coding import MAX_BITS, ScalarCode, allocate_bits, equal_bits
from metricsearch.sketches.coordinates import Coordinates, Located, principal_axes
from metricsearch.sketches.kinds import VECTOR_SKETCHES, check_sketch_bytes, n_learnt
from metricsearch.sketches.product import ProductCode, group_coordinates
from metricsearch.sketches.rabitq import RaBitQSketch
from metricsearch.sketches.sketch import Altitude, CodedSketch, HyperplaneSketch, Sketch
from metricsearch.spaces import Batch, Metric
from metricsearch.threads import thread_map

# Objects of the sample whose neighbours are looked for in all of it, and how many neighbours of each. Few, as those in
# a small sample are farther than those among all objects. Product codes have a larger sample, so more: the nearest
# alone may be near-copies of an object, which any sketch finds.
N_JUDGES, N_NEIGHBOURS = 128, 3
N_PRODUCT_NEIGHBOURS = 10
_PRODUCT_COMPARISONS = 2**21  # of judges with objects, where there are few objects
_POWERS = 1, 2
_EXPONENTS = 0.0, 0.25, 0.5, 1.0  # γ: a coordinate of variance v gets the weight v^-γ
_ALTITUDE_WEIGHTS = 0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0
_EQUAL_BITS = 2, 3, 4
_LEAST_VARIANCE = 1e-9  # of the largest: coordinates below it vary by rounding
_AXES_SHARES = 1, 4  # of classical scaling, all or the longest: off Euclid the short ones are noise, made large
_PER_BYTE = 4  # coordinates that a byte of a product code stands for
_PRODUCT_EXPONENTS = 0.0, 0.25  # few: each is a k-means
_PAIRS_DRAWN = 16  # pairs of pivots looked at for each that is chosen


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """Objects to learn from. inputs: (s, P) distances to the pivots, or the vectors themselves (s, d).

    truth: distances (q, s) of the first q objects, the judges, to all. pivot_pairs: (P, P), of the pivots.
    """

    inputs: NDArray[np.float64]
    truth: NDArray[np.float64]
    pivot_pairs: NDArray[np.float64]
    n_neighbours: int

    @property
    def n_judges(self) -> int:
        """q."""
        return len(self.truth)


_Way = tuple[CodedSketch, NDArray[np.float64]]  # a sketch, and its estimates (q, s) between objects of the sample


def fit_sketch(
    kind: str, n_bytes: int, metric: Metric, pivots: Batch, sample: Batch, rng: np.random.Generator
) -> Sketch:
    """A sketch of `n_bytes` per object, learnt from a sample of the objects; the metric is taken to be symmetric.

    kind:
    "product": the coordinates of "landmark", turned to the principal axes of the objects; each byte codes the nearest
        of 256 centres in about four coordinates (Jégou et al. 2011; Ge, He, Ke & Sun 2013), and the altitude.
    "landmark": principal coordinates by classical scaling with the pivots as landmarks (de Silva & Tenenbaum 2004),
        bits by water-filling, and the altitude; the power of the distances, the weights of coordinates and of the
        altitude are those that order the sample best.
    "simplex": n-simplex projection (Connor, Vadicamo, Cardillo, Rabitti 2019), turned to its principal axes, bits by
        water-filling, whole altitude: their "Zen" estimate.
    "whitened": squared distances to the pivots, principal components of variance 1, 2, 3 or 4 bits each.
    "hyperplane": which of two pivots is nearer, one bit per pair; pairs are balanced and little correlated (Mic, Novak
        & Zezula, SISAP 2016).
    "principal": principal components of the vectors themselves, bits by water-filling, and the altitude.
    "rabitq": see `RaBitQSketch`. These two take vectors under the Euclidean distance only.
    A query is never coded: distances are asymmetric (Jégou, Douze & Schmid 2011).
    Costs P^2 distances between the P pivots, P times `n_learnt(kind)` to the sample, up to two million within it, and
    an eigenvalue problem of size P; last bits depend on the BLAS at hand. What is learnt is kept with the index.
    Raises InvalidInputError: unknown kind, a kind that the metric does not allow, too few bytes, objects or pivots,
    distances whose squares overflow.
    """
    check_sketch_bytes(kind, n_bytes)
    if kind in VECTOR_SKETCHES and metric.name != "euclidean":
        raise InvalidInputError(f"sketch: {kind} needs vectors and the euclidean distance, not {metric.name}")
    if len(sample) < 2 or len(pivots) < 2:
        raise InvalidInputError(f"sketch: needs 2 objects and 2 pivots, got {len(sample)} and {len(pivots)}")
    sample = sample[rng.permutation(len(sample))[: n_learnt(kind)]]
    with np.errstate(over="ignore"):
        learnt_from = _sampled(kind, metric, pivots, sample)
    return _KINDS[kind](n_bytes, learnt_from, rng)


def encode_all(sketch: Sketch, metric: Metric, objects: Batch, pivots: Batch, n_threads: int) -> NDArray[np.uint8]:
    """What `sketch.encode` gives, on several threads."""
    parts = np.linspace(0, len(objects), n_threads + 1).astype(np.int64)

    def codes_of(part: int) -> NDArray[np.uint8]:
        return sketch.encode(metric, objects[parts[part] : parts[part + 1]], pivots)

    return np.concatenate(thread_map(codes_of, range(n_threads), n_threads))


def _sampled(kind: str, metric: Metric, pivots: Batch, sample: Batch) -> _Sample:
    pairs = metric.exact_pairwise(pivots, pivots)
    if kind == "product":  # a large sample
        distances = metric.pairwise(sample, pivots, np.float64)
        apart = (distances > metric.pairwise_error(sample, pivots, distances)).all(axis=1)
    else:
        distances = metric.exact_pairwise(sample, pivots)
        apart = (distances > 0).all(axis=1)
    if not np.isfinite(distances**2).all() or not np.isfinite(pairs**2).all():
        raise InvalidInputError("sketch: the distances are too large to be squared; use a smaller unit")
    others = np.flatnonzero(apart)  # pivots have no altitude
    if len(others) >= 2:
        sample, distances = sample[others], distances[others]
    n_judges, n_neighbours = N_JUDGES, N_NEIGHBOURS
    if kind == "product":
        n_judges = max(N_JUDGES, min(4 * N_JUDGES, _PRODUCT_COMPARISONS // max(len(sample), 1)))
        n_neighbours = N_PRODUCT_NEIGHBOURS
    truth = metric.exact_pairwise(sample[: min(n_judges, len(sample) // 2)], sample)
    inputs = np.asarray(sample, dtype=np.float64) if kind in VECTOR_SKETCHES else distances
    return _Sample(inputs, truth, pairs, n_neighbours)


def _landmark(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    return _best(sample, _scaled("landmark", n_bytes, sample, _EXPONENTS, _ALTITUDE_WEIGHTS))


def _product(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    _, coordinates, located, has_altitude = min(_product_coordinates(n_bytes, sample), key=itemgetter(0))
    return _best(sample, _product_coded(n_bytes, sample, coordinates, located, has_altitude, rng))


def _product_coordinates(n_bytes: int, sample: _Sample) -> Iterator[tuple[float, Coordinates, Located, bool]]:
    """What is lost with coordinates before they are coded (codes change that little), and whether with altitudes."""
    near = _near(sample)
    n_pivots = len(sample.pivot_pairs)
    for power in _POWERS:
        scaled = Coordinates.scaled(sample.pivot_pairs, power, n_pivots)
        for share in _AXES_SHARES:
            longest = scaled.longest(max(n_pivots // share, 1))
            coordinates = _along_principal_axes(sample, longest, _PER_BYTE * n_bytes)
            located = coordinates.locate_exactly(sample.inputs)
            estimates = _squared_differences(located.coordinates[: sample.n_judges], located.coordinates)
            for weight in _ALTITUDE_WEIGHTS:
                yield _loss(near, estimates + weight * located.altitudes), coordinates, located, weight > 0


def _along_principal_axes(sample: _Sample, scaled: Coordinates, n_coordinates: int) -> Coordinates:
    """Turned so that coordinates are not correlated, those that vary most; not learnt from judges.

    Judges stand for queries, which are farther from the axes of other objects than these are.
    """
    z = (scaled.offset - sample.inputs[sample.n_judges :] ** scaled.power) @ scaled.projection
    rest = z - z.mean(axis=0)
    rest[np.abs(rest) <= _LEAST_VARIANCE * np.abs(z).max(initial=0.0)] = 0.0  # equal objects do not vary
    _, axes = principal_axes(rest.T @ rest / len(z), n_coordinates)
    return scaled.turned(axes)


def _product_coded(
    n_bytes: int,
    sample: _Sample,
    coordinates: Coordinates,
    located: Located,
    has_altitude: bool,
    rng: np.random.Generator,
) -> Iterator[_Way]:
    variances = located.coordinates[sample.n_judges :].var(axis=0)
    unit = float(variances.max(initial=0.0)) or 1.0
    n_coded = n_bytes - has_altitude
    for exponent in _PRODUCT_EXPONENTS:
        weights = (variances / unit) ** -exponent / unit
        order, starts = group_coordinates(variances * weights, n_coded)
        grouped = coordinates.turned(np.eye(len(order))[:, order])
        z = located.coordinates[:, order]
        code = ProductCode.fit(z[sample.n_judges :], starts, weights[order], n_coded, rng)
        estimates = _estimates(code, z, sample.n_judges)
        if not has_altitude:
            yield CodedSketch("product", n_bytes, grouped, code), estimates
            continue
        for weight in _ALTITUDE_WEIGHTS[1:]:
            altitude = Altitude.fit(located.altitudes, weight / unit)
            levels, _ = altitude.encode(located.altitudes, located.altitude_tolerance)
            yield CodedSketch("product", n_bytes, grouped, code, altitude), estimates + altitude.costs()[levels]


def _simplex(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    return _best(sample, _scaled("simplex", n_bytes, sample, (0.0,), (1.0,)))


def _scaled(
    kind: str, n_bytes: int, sample: _Sample, exponents: tuple[float, ...], altitude_weights: tuple[float, ...]
) -> Iterator[_Way]:
    for power in _POWERS:
        coordinates = Coordinates.scaled(sample.pivot_pairs, power, MAX_BITS * n_bytes)
        yield from _water_filled(kind, n_bytes, sample, coordinates, exponents, altitude_weights)


def _principal(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    coordinates = Coordinates.principal(sample.inputs, MAX_BITS * n_bytes)
    return _best(sample, _water_filled("principal", n_bytes, sample, coordinates, (0.0,), _ALTITUDE_WEIGHTS))


def _water_filled(
    kind: str,
    n_bytes: int,
    sample: _Sample,
    coordinates: Coordinates,
    exponents: tuple[float, ...],
    altitude_weights: tuple[float, ...],
) -> Iterator[_Way]:
    """Sketches for every weight of coordinates and altitude; without altitude its byte goes to the coordinates."""
    located = coordinates.locate_exactly(sample.inputs)
    variances = located.coordinates.var(axis=0)
    largest = variances.max(initial=0.0)
    variances[variances <= _LEAST_VARIANCE * largest] = 0.0
    unit = largest or 1.0
    for exponent, has_altitude in product(exponents, sorted({weight > 0 for weight in altitude_weights})):
        ratios = np.divide(variances, largest, out=np.ones_like(variances), where=variances > 0)
        weights = ratios**-exponent / unit
        n_coded = n_bytes - has_altitude
        bits = allocate_bits(variances * weights, 8 * n_coded)
        trimmed = _trimmed(coordinates, ScalarCode.fit(located.coordinates, bits, weights, n_coded))
        again = trimmed[0].locate_exactly(sample.inputs)
        estimates = _estimates(trimmed[1], again.coordinates, sample.n_judges)
        for weight in altitude_weights:
            if not has_altitude and not weight:
                yield CodedSketch(kind, n_bytes, *trimmed), estimates
            elif has_altitude and weight:
                altitude = Altitude.fit(again.altitudes, weight / unit)
                levels, _ = altitude.encode(again.altitudes, again.altitude_tolerance)
                yield CodedSketch(kind, n_bytes, *trimmed, altitude), estimates + altitude.costs()[levels]


def _trimmed(coordinates: Coordinates, code: ScalarCode) -> tuple[Coordinates, ScalarCode]:
    """Without the coordinates that get no bits: the altitude is above those that are coded."""
    kept = Coordinates(
        coordinates.power,
        coordinates.offset,
        np.ascontiguousarray(coordinates.projection[:, code.columns]),
        coordinates.centre,
        coordinates.of_vectors,
    )
    columns = np.arange(len(code.columns))
    return kept, ScalarCode(code.n_bytes, columns, code.bits, code.byte_of, code.shift_of, code.centres, code.weights)


def _whitened(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    def of(bits_each: int) -> _Way:
        coordinates = Coordinates.whitened(sample.inputs, 8 * n_bytes // bits_each)
        located = coordinates.locate_exactly(sample.inputs)
        n = coordinates.n_coordinates
        bits = equal_bits(n, 8 * n_bytes, bits_each)
        trimmed = _trimmed(coordinates, ScalarCode.fit(located.coordinates, bits, np.ones(n), n_bytes))
        again = trimmed[0].locate_exactly(sample.inputs)
        return CodedSketch("whitened", n_bytes, *trimmed), _estimates(trimmed[1], again.coordinates, sample.n_judges)

    return _best(sample, map(of, _EQUAL_BITS))


def _hyperplane(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    n_pivots, n_bits = len(sample.pivot_pairs), 8 * n_bytes
    drawn = np.sort(rng.integers(n_pivots, size=(_PAIRS_DRAWN * n_bits, 2)), axis=1)
    drawn = np.unique(drawn[drawn[:, 0] != drawn[:, 1]], axis=0)
    nearer = sample.inputs[:, drawn[:, 1]] >= sample.inputs[:, drawn[:, 0]]
    sides = np.where(nearer, np.float32(1), np.float32(-1))  # sums of up to 2,048 of them are exact
    chosen = _little_correlated(sides, min(n_bits, len(drawn)))
    coordinates = Coordinates.hyperplanes(drawn[chosen], sample.pivot_pairs)
    n = len(chosen)
    places = np.arange(n)
    squares = float((coordinates.locate_exactly(sample.inputs).coordinates ** 2).mean()) or 1.0
    weights = np.full(n, 1 / squares)
    code = ScalarCode(n_bytes, places, np.ones(n, np.int64), places // 8, places % 8, np.tile([-1.0, 1.0], n), weights)
    return HyperplaneSketch("hyperplane", n_bytes, coordinates, code)


def _little_correlated(sides: NDArray[np.float32], n_wanted: int) -> NDArray[np.int64]:
    """Columns of sides (s, m), each -1 or 1: every next one is the most balanced and least correlated.

    The worst of its mean and its correlations with those chosen before counts; ties: the first.
    """
    worst = np.abs(sides.mean(axis=0))
    chosen: list[int] = []
    for _ in range(n_wanted):
        worst[chosen[-1:]] = np.inf
        best = int(np.argmin(worst))
        chosen.append(best)
        worst = np.maximum(worst, np.abs(sides.T @ sides[:, best]) / len(sides))
    return np.array(chosen, dtype=np.int64)


def _rabitq(n_bytes: int, sample: _Sample, rng: np.random.Generator) -> Sketch:
    return RaBitQSketch.fit(sample.inputs, n_bytes, rng)


def _near(sample: _Sample) -> NDArray[np.int64]:
    """(q, m): the true neighbours of the judges in the sample, not themselves."""
    truth = sample.truth.copy()
    np.fill_diagonal(truth, np.inf)
    return np.argsort(truth, axis=1, kind="stable")[:, : min(sample.n_neighbours, truth.shape[1] - 1)]


def _loss(near: NDArray[np.int64], estimates: NDArray[np.float64]) -> float:
    """Mean logarithm of the ranks that the true neighbours have by their estimates; estimates (q, s) are changed."""
    np.fill_diagonal(estimates, np.inf)
    of_near = np.take_along_axis(estimates, near, axis=1)
    ranks = (estimates[:, None, :] < of_near[:, :, None]).sum(axis=2)
    return float(np.log1p(ranks).mean())


def _best(sample: _Sample, ways: Iterable[_Way]) -> CodedSketch:
    """The sketch under which the true neighbours of the judges stand first."""
    near = _near(sample)
    losses, found = [], []
    for sketch, estimates in ways:
        losses.append(_loss(near, estimates))
        found.append(sketch)
    return found[int(np.argmin(losses))]


def _estimates(code: ScalarCode | ProductCode, z: NDArray[np.float64], n_judges: int) -> NDArray[np.float64]:
    """Estimates (n_judges, s) between objects of the sample by their coordinates z (s, M), the left uncoded."""
    codes, _ = code.encode(z, np.zeros(z.shape))
    scale = np.sqrt(code.weights)
    return _squared_differences(z[:n_judges] * scale, code.decode(codes) * scale)


def _squared_differences(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T)


_KINDS: dict[str, Callable[[int, _Sample, np.random.Generator], Sketch]] = {
    "product": _product,
    "landmark": _landmark,
    "simplex": _simplex,
    "whitened": _whitened,
    "hyperplane": _hyperplane,
    "principal": _principal,
    "rabitq": _rabitq,
}
