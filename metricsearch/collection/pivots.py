"""The pivots of a new index: those given, or chosen among a sample of the stored objects."""

from typing import Any

import numpy as np

from metricsearch.partition import choose_pivots, sample_size
from metricsearch.ppp import PPPCodes
from metricsearch.spaces import Batch
from metricsearch.store import ObjectStore


def pivots_for(index: PPPCodes, store: ObjectStore, pivots: Any, dimension: int | None) -> tuple[Batch, Batch | None]:
    """Checked pivots for the unbuilt `index`, and a sample of the objects, None where nothing is learnt from it.

    The metric is tried on the sample unless it may be non-metric. Raises InvalidInputError, NonMetricError.
    """
    ids, rng = store.ids(), np.random.default_rng(index.seed)
    n_sample = min(len(ids), sample_size(index.n_spaces * index.n_pivots, index.n_learnt))
    if pivots is not None and not index.n_learnt and index.allow_nonmetric:
        return index.check_pivots(pivots, dimension), None
    sample = store.get(np.sort(rng.choice(ids, size=n_sample, replace=False)))
    index.check_metric(sample)
    if pivots is None:
        pivots = choose_pivots(index.metric, sample, index.n_spaces, index.n_pivots, index.pivot_choice, rng)
    return index.check_pivots(pivots, dimension), sample
