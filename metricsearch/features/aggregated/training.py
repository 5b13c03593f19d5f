"""Training of aggregated and whitened features from the photos of a feature file."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.features.aggregated.bow import inverse_document_frequencies
from metricsearch.features.aggregated.feature import AGGREGATIONS, AggregatedFeature
from metricsearch.features.aggregated.fisher import fit_mixture
from metricsearch.features.aggregated.pca import PCA, fit_pca
from metricsearch.features.aggregated.vlad import nearest_centres
from metricsearch.features.aggregated.whitened import WhitenedFeature
from metricsearch.features.feature import GlobalFeature
from metricsearch.features.feature_file import FeatureFile
from metricsearch.features.feature_writing import check_feature_name
from metricsearch.features.local import DIMENSION
from metricsearch.features.trained import (
    Resolve,
    check_same_base,
    feature_from_arrays,
    trained_on,
)
from metricsearch.progress import counted
from metricsearch.validation import check_choice, check_integer, check_positive
from metricsearch.vocabulary import train_vocabulary
from metricsearch.vocabulary.training import MAX_SEED
from metricsearch.vocabulary.vocabulary import MAX_BRANCHING

_CYCLES = 20
DESCRIPTOR_SAMPLE = 100_000


def train_aggregated(
    file: FeatureFile,
    kind: str,
    *,
    local: str | None = None,
    n_words: int = 64,
    pca: int | None = None,
    sample: int = DESCRIPTOR_SAMPLE,
    seed: int = 0,
    rows: Sequence[int] | None = None,
    name: str | None = None,
    n_threads: int | None = None,
) -> AggregatedFeature:
    """A bag of words, VLAD or Fisher vector (`kind`: see AGGREGATIONS) over the local features of a file.

    local: which of the file's; None: the only one. n_words: centres or Gaussians; fewer where the sample has fewer
    different descriptors. pca: dimension that descriptors are reduced to first. sample: descriptors, drawn without
    replacement, that k-means, mixture and PCA are fitted to. rows: numbers of the photos to train on; None: all.
    k-means with k-means++ starts, at most 20 cycles; the Gaussians by EM from there; idf over all these photos.
    The same file and arguments give the same bits for any number of threads.
    Raises InvalidInputError (too few descriptors, impossible numbers), MissingExtraError.
    """
    check_choice(kind, "kind", AGGREGATIONS)
    n_words = check_integer(n_words, "words", 2, MAX_BRANCHING)
    check_positive(sample, "sample")
    check_integer(seed, "seed", 0, MAX_SEED)
    dimension = None if pca is None else check_integer(pca, "pca", 1, DIMENSION)
    photos = _rows_of(file, rows)
    table = file.local(local)
    name = check_feature_name(name or f"{kind}-{table.options.kind}-{n_words}{'' if pca is None else f'-pca{pca}'}")
    drawn = _sample(table, photos, sample, seed).astype(np.float32)
    if len(drawn) <= n_words:
        raise InvalidInputError(
            f"{file.path}: {len(drawn):,} descriptors to train {n_words:,} words from, expected more; use more photos, "
            "a larger sample or fewer words"
        )
    reduce = None if dimension is None else fit_pca(drawn, dimension)
    x = drawn if reduce is None else reduce.apply(drawn)
    centres = _cluster(file, x, n_words, seed, n_threads)
    learned: dict[str, NDArray[Any]] = {"centres": centres}
    if kind.startswith("fisher"):
        learned = dict(fit_mixture(x, centres))
    elif kind == "bow":
        learned["idf"] = _idf(file, table, photos, reduce, centres)
    return AggregatedFeature(name, kind, table.options, learned, reduce, _about(file, photos, sample, seed))


def train_whitening(
    file: FeatureFile,
    base: GlobalFeature,
    dimension: int,
    *,
    whiten: bool = True,
    rows: Sequence[int] | None = None,
    name: str | None = None,
    base_name: str | None = None,
    progress: bool = False,
) -> WhitenedFeature:
    """PCA, whitened unless told otherwise, of the vectors that `base` has for the photos of a file.

    The vectors are the file's; those of an AggregatedFeature may also be computed from the file's local features.
    rows: numbers of the photos to train on; None: all. base_name: text that `get_feature` finds the base by, its name
    if not given. Raises InvalidInputError (the file has no such vectors, or of another provenance; too few photos).
    """
    dimension = check_positive(dimension, "dimension")
    name = check_feature_name(name or f"{base.name}-{'whiten' if whiten else 'pca'}{dimension}")
    photos = _rows_of(file, rows)
    vectors = _vectors(file, base, photos, progress)
    try:
        pca = fit_pca(vectors, dimension, whiten, unit_length=True)
    except InvalidInputError as error:
        raise InvalidInputError(f"{file.path}: {base.name}: {error}") from None
    about = trained_on([file.sha256[i] for i in photos.tolist()])
    return WhitenedFeature(name, base, base_name or base.name, pca, about)


def feature_of_file(file: FeatureFile, name: str, resolve: Resolve) -> GlobalFeature:
    """The feature that the vectors `name` of a file were made by; resolve: the feature of a name.

    One that was trained is in the file itself. Raises InvalidInputError (a local feature), and what `resolve` raises.
    """
    recipe = file.provenance(name).get("recipe") if name in file.names else None
    if recipe is not None:
        return feature_from_arrays(recipe, file.trained_arrays(name), resolve)
    feature = resolve(name)
    if not isinstance(feature, GlobalFeature):
        raise InvalidInputError(f"{name}: describes places of a photo; expected a feature with one vector per photo")
    return feature


def _rows_of(file: FeatureFile, rows: Sequence[int] | None) -> NDArray[np.int64]:
    """The photos to train on, ascending, each once."""
    if not len(file):
        raise InvalidInputError(f"{file.path}: it holds no photos to train on; extract some first")
    if rows is None:
        return np.arange(len(file))
    chosen = {check_integer(row, "rows", 0, len(file) - 1) for row in rows}
    if not chosen:
        raise InvalidInputError("rows: expected the number of at least one photo, got none")
    return np.array(sorted(chosen), dtype=np.int64)


def _sample(table: Any, photos: NDArray[np.int64], n: int, seed: int) -> NDArray[np.uint8]:
    """At most `n` descriptors of these photos, drawn without replacement, in their order."""
    counts = np.diff(table.starts)[photos]
    total = int(counts.sum())
    ends = np.cumsum(counts)
    places = np.arange(total)
    if n < total:
        places = np.sort(np.random.default_rng(seed).choice(total, n, replace=False))
    cuts = np.searchsorted(places, ends)
    drawn = [np.empty((0, DIMENSION), dtype=np.uint8)]
    for i, first, low, high in zip(photos.tolist(), ends - counts, [0, *cuts[:-1]], cuts, strict=True):
        if high > low:
            drawn.append(table.descriptors_of(i)[places[low:high] - first])
    return np.concatenate(drawn)


def _cluster(
    file: FeatureFile, x: NDArray[np.float32], n_words: int, seed: int, n_threads: int | None
) -> NDArray[np.float32]:
    """Centres (K, d); K < n_words where not so many points differ."""
    if not (x != x[0]).any():
        raise InvalidInputError(f"{file.path}: all descriptors are equal, so they have no words; use other photos")
    words = train_vocabulary(
        x, branching=n_words, depth=1, cycles=_CYCLES, start="k-means++", seed=seed, n_threads=n_threads
    )
    return words.centres


def _idf(
    file: FeatureFile, table: Any, photos: NDArray[np.int64], pca: PCA | None, centres: NDArray[np.float32]
) -> NDArray[np.float64]:
    def words() -> Iterator[NDArray[np.int64]]:
        for i in photos.tolist():
            x = table.descriptors_of(i)
            yield nearest_centres(x if pca is None else pca.apply(x), centres)

    idf = inverse_document_frequencies(words(), len(centres))
    if not idf.any():
        raise InvalidInputError(
            f"{file.path}: every word is in every one of {len(photos):,} photos, so none tells them apart (idf 0); "
            "train more words or on more photos"
        )
    return idf


def _about(file: FeatureFile, photos: NDArray[np.int64], sample: int, seed: int) -> dict[str, Any]:
    return {**trained_on([file.sha256[i] for i in photos.tolist()]), "sample": sample, "seed": seed}


def _vectors(file: FeatureFile, base: GlobalFeature, photos: NDArray[np.int64], progress: bool) -> Any:
    """(n, d): the file's vectors, as its dataset where all photos are asked for, or made of its local features."""
    if base.name in file.names:
        check_same_base(str(file.path), file.provenance(base.name), base.provenance())
        vectors = file.vectors(base.name)
        return vectors if len(photos) == len(file) else vectors[photos]
    local = base.local.options if isinstance(base, AggregatedFeature) else None
    if not isinstance(base, AggregatedFeature) or local is None or local.kind not in file.names:
        raise InvalidInputError(
            f"{file.path}: it has no {base.name}, only {', '.join(file.names)}; extract the photos with --feature "
            f"{base.name}"
        )
    table = file.local(local.kind)
    if table.options != local:
        raise InvalidInputError(
            f"{file.path}: its {local.kind} has other options than {base.name} was trained with; extract the photos "
            "again with the same"
        )
    vectors = np.empty((len(photos), base.dimension), dtype=np.float32)
    pieces = ([i] for i in photos.tolist())
    for row, (i,) in enumerate(counted(pieces, base.name, photos, progress)):
        vectors[row] = base.aggregate(table.descriptors_of(i))
    return vectors
