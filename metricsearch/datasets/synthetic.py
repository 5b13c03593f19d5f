"""Synthetic descriptors, generated block by block so that any number of them fits and any of them can be had again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.sources import ObjectSource
from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_integer

BLOCK_SIZE = 256  # vectors generated together; part of the definition of the data, see Decaf7Like
_MODEL_STREAM = 2
_NORMAL_LIMIT = 4.0  # normal values of lengths and thresholds are cut here
_EXACT_LIMIT = 2**24  # float32 holds all whole numbers up to this


@dataclass(frozen=True, slots=True, kw_only=True)
class Decaf7LikeConstants:
    """The model's constants, tuned on `grid4096` of googlenet_photos.h5 (5,271 real GoogLeNet descriptors).

    Tuned on the share of non-zeros, the intrinsic dimensionality and the k-NN distances over the mean distance
    (k = 1, 10, 100, 1000; at n = 5,271 and for 1,000 of them); `comparison_table` prints both sides.
    """

    dimension: int = 4096
    latent_dimension: int = 128  # hidden directions; the ReLU spreads them over more
    latent_decay: float = 0.35  # hidden direction i has weight (i + 1) ** -latent_decay
    n_groups: int = 50  # three nested levels of clusters: groups, categories, scenes
    n_categories: int = 500
    n_scenes: int = 8000
    scene_shift: float = 13.0  # scene i has probability ~ (i + scene_shift) ** -scene_exponent
    scene_exponent: float = 0.8
    group_share: float = 0.28  # shares of the hidden variance; they sum to 1
    category_share: float = 0.15
    scene_share: float = 0.23
    object_share: float = 0.34
    spread_sigma: float = 0.32  # lognormal: some scenes are tight (near-duplicates), some wide
    length_sigma: float = 0.135  # lognormal: vectors differ in length
    sparsity_sigma: float = 0.22  # normal: vectors differ in their number of non-zeros
    scale_sigma: float = 0.45  # lognormal: components differ in scale
    threshold_mean: float = 0.54  # normal: components differ in how often they are non-zero; in standard deviations
    threshold_sigma: float = 0.25
    magnitude: float = 2.72  # brings the mean distance to that of the real descriptors

    def __post_init__(self) -> None:
        total = self.group_share + self.category_share + self.scene_share + self.object_share
        if abs(total - 1) > 1e-9:
            raise InvalidInputError(f"shares: expected a sum of 1, got {total}")


@dataclass(frozen=True, slots=True)
class _Model:
    """What all vectors of a seed share. Weights and hidden vectors are whole numbers, see `_steps`."""

    weights: NDArray[np.float32]  # (latent_dimension + 1, dimension); the last row is the threshold
    scales: NDArray[np.float32]  # (dimension,), of the components
    scenes: NDArray[np.float32]  # (n_scenes, latent_dimension) centres
    spreads: NDArray[np.float32]  # (n_scenes, 1)
    cumulated: NDArray[np.float64]  # (n_scenes,) running probability
    hidden_steps: int  # steps per unit of a hidden coordinate


class Decaf7Like(ObjectSource):
    """Synthetic 4096-D vectors, non-negative with about 30 % non-zeros. They were made by no neural network.

    A vector is ReLU(length * (z W - threshold)): z is a hidden vector from a mixture of three nested levels of
    clusters. The constants were set so that its statistics agree with those of real GoogLeNet descriptors; nothing is
    claimed about descriptors of other networks.

    Block i (256 vectors) depends on (seed, stream, i) alone: vector j has the same bits whatever n, the chunk size and
    the number of threads, and any vector is generated without those before it. The large product is one of whole
    numbers and so exact with any BLAS; a processor whose exp rounds differently may move a hidden value by a step.

    n : vectors.  seed : everything depends on it.  stream : 0 for data, 1 for queries: same clusters, other vectors.
    Raises InvalidInputError.
    """

    def __init__(self, n: int, seed: int = 0, stream: int = 0, constants: Decaf7LikeConstants | None = None) -> None:
        self._n = check_integer(n, "n", 0)
        self._seed = check_integer(seed, "seed", 0)
        self._stream = check_integer(stream, "stream", 0, 1)
        self.constants = constants or Decaf7LikeConstants()
        self._model = _make_model(self.constants, self._seed)

    def __len__(self) -> int:
        return self._n

    @property
    def block_size(self) -> int:
        """Vectors generated together."""
        return BLOCK_SIZE

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors start..stop-1, (stop - start, dimension) float32."""
        out = np.empty((stop - start, self.constants.dimension), dtype=np.float32)
        row = start
        while row < stop:
            block, first = divmod(row, BLOCK_SIZE)
            count = min(BLOCK_SIZE - first, stop - row)
            self._generate(block, slice(first, first + count), out[row - start : row - start + count])
            row += count
        return out

    def _take_ascending(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        out = np.empty((rows.size, self.constants.dimension), dtype=np.float32)
        blocks, first, counts = np.unique(rows // BLOCK_SIZE, return_index=True, return_counts=True)
        for block, start, count in zip(blocks.tolist(), first, counts, strict=True):
            part = slice(start, start + count)
            self._generate(block, rows[part] - block * BLOCK_SIZE, out[part])
        return out

    def _generate(self, block: int, rows: slice | NDArray[np.int64], out: NDArray[np.float32]) -> None:
        """Write vectors `rows` of a block to `out`."""
        model = self._model
        hidden = _hidden_vectors(self.constants, model, self._seed, (self._stream, block))
        np.matmul(hidden[rows], model.weights, out=out)
        np.maximum(out, np.float32(0), out=out)
        np.multiply(out, model.scales, out=out)


def _make_model(c: Decaf7LikeConstants, seed: int) -> _Model:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_MODEL_STREAM, 0)))
    decay = np.arange(1, c.latent_dimension + 1)[:, None] ** -c.latent_decay
    weights = rng.standard_normal((c.latent_dimension, c.dimension)) * decay
    weights /= np.sqrt((weights**2).sum(axis=0))  # each component has variance 1 before scaling
    threshold = c.threshold_mean + c.threshold_sigma * rng.standard_normal(c.dimension)
    scale = c.magnitude * np.exp(c.scale_sigma * rng.standard_normal(c.dimension))

    groups, categories, scenes = (
        rng.standard_normal((n, c.latent_dimension)) for n in (c.n_groups, c.n_categories, c.n_scenes)
    )
    category_of = rng.integers(0, c.n_categories, c.n_scenes)
    group_of = rng.integers(0, c.n_groups, c.n_categories)[category_of]
    centres = (
        np.sqrt(c.group_share) * groups[group_of]
        + np.sqrt(c.category_share) * categories[category_of]
        + np.sqrt(c.scene_share) * scenes
    )
    spreads = np.sqrt(c.object_share) * _lognormal(rng, c.spread_sigma, c.n_scenes)
    probability = (np.arange(c.n_scenes) + c.scene_shift) ** -c.scene_exponent
    hidden_steps, weight_steps = _steps(c, float(np.abs(threshold).max()))
    return _Model(
        np.rint(np.vstack([weights, threshold]) * weight_steps).astype(np.float32),
        (scale / (hidden_steps * weight_steps)).astype(np.float32),
        centres.astype(np.float32),
        spreads.astype(np.float32)[:, None],
        np.cumsum(probability) / probability.sum(),
        hidden_steps,
    )


def _steps(c: Decaf7LikeConstants, largest_threshold: float) -> tuple[int, int]:
    """Powers of two: steps per unit of hidden coordinates and of weights.

    Sums of whole numbers are exact in float32 below 2^24, in any order and with any BLAS; the terms of a component
    add up to at most |z| |w| + threshold in absolute value (Cauchy-Schwarz; |w| = 1).
    """
    length = np.exp(c.length_sigma * _NORMAL_LIMIT)
    largest = length * (np.sqrt(c.latent_dimension) + (1 + c.sparsity_sigma * _NORMAL_LIMIT) * largest_threshold)
    # Rounding lengthens z and w by up to half a step per coordinate: keep a factor of two free.
    exponent = int(np.floor(np.log2(_EXACT_LIMIT / (2 * largest))))
    return 2 ** (exponent // 2), 2 ** (exponent - exponent // 2)


def _hidden_vectors(c: Decaf7LikeConstants, model: _Model, seed: int, key: tuple[int, int]) -> NDArray[np.float32]:
    """(BLOCK_SIZE, latent_dimension + 1): hidden vectors of equal length times the vector's length, and -threshold."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    scene = np.minimum(np.searchsorted(model.cumulated, rng.random(BLOCK_SIZE)), c.n_scenes - 1)
    z = rng.standard_normal((BLOCK_SIZE, c.latent_dimension), dtype=np.float32)
    z *= model.spreads[scene]
    z += model.scenes[scene]
    z *= np.sqrt(c.latent_dimension) / np.sqrt((z * z).sum(axis=1, keepdims=True))
    normal = np.clip(rng.standard_normal((2, BLOCK_SIZE)), -_NORMAL_LIMIT, _NORMAL_LIMIT)
    length = np.exp(c.length_sigma * normal[0])
    threshold = 1 + c.sparsity_sigma * normal[1]
    hidden = np.empty((BLOCK_SIZE, c.latent_dimension + 1), dtype=np.float32)
    hidden[:, :-1] = z * length[:, None]
    hidden[:, -1] = -length * threshold
    hidden *= model.hidden_steps
    return np.rint(hidden, out=hidden)


def _lognormal(rng: np.random.Generator, sigma: float, n: int) -> NDArray[np.float64]:
    """(n,) values of mean 1."""
    return np.exp(sigma * rng.standard_normal(n) - sigma**2 / 2)
