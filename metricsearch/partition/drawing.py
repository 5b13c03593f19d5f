"""The pivots of a new index, chosen among the objects that it shall hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from metricsearch.partition.pivots import choose_pivots
from metricsearch.spaces import Batch, Metric, concatenate
from metricsearch.spaces.chunks import iterate_chunks, readable_twice, sample_objects, split_off

_SAMPLE_FACTOR = 4  # pivots are chosen among this many times as many objects


def sample_size(n_pivots: int, n_learnt: int) -> int:
    """Of how many objects to take a sample for `n_pivots` pivots in all, and to learn from `n_learnt`."""
    return max(_SAMPLE_FACTOR * n_pivots, n_learnt)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Pivots, a sample of the objects (with given pivots, these unless one was given), and all in checked batches."""

    pivots: Batch
    sample: Batch
    chunks: Iterator[Batch]


def pivots_and_chunks(
    objects: Any,
    metric: Metric,
    n_spaces: int,
    n_pivots: int,
    method: str,
    seed: int,
    check_metric: Callable[[Batch], None],
    pivots: Batch | None = None,
    sample: Batch | None = None,
    n_learnt: int = 0,
) -> Drawn:
    """λ·k pivots from a random sample of the objects, or from the first chunks of an iterator.

    method: see `choose_pivots`. check_metric: refuses a metric that is none on the sample. pivots, sample: checked,
    used instead. n_learnt: size of the sample that is needed for more than pivots. Raises InvalidInputError.
    """
    rng = np.random.default_rng(seed)
    n_sample = sample_size(n_spaces * n_pivots, n_learnt)
    chunks: Iterator[Batch] = iterate_chunks(objects, metric)
    if sample is None and pivots is not None and not n_learnt:
        sample = pivots
    elif sample is None and readable_twice(objects):
        sample = sample_objects(objects, metric, n_sample, rng)
    elif sample is None:
        head = split_off(chunks, n_sample)
        sample = concatenate(head) if head else metric.check([], "objects")
        chunks = chain(head, chunks)
    check_metric(sample if pivots is None else pivots)
    if pivots is None:
        pivots = choose_pivots(metric, sample, n_spaces, n_pivots, method, rng)
    return Drawn(pivots, sample, chunks)
