"""Means over queries with intervals that know which queries belong together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BOOTSTRAP_SEED = 0


def group_mean(
    name: str, values: NDArray[np.float64], counted: NDArray[Any], groups: NDArray[np.int64], n_bootstrap: int
) -> dict[str, float]:
    """{name: mean of the counted values, name_low, name_high: its 95 % bootstrap interval}.

    Whole groups are resampled, because photos of one object are not independent of each other. values, counted: per
    query, or per query and image; counted: 0 or 1. groups: number of each query's group, 0 and on.
    """
    weights = np.asarray(counted, dtype=np.float64)
    totals, numbers = (
        np.bincount(groups, per_query)
        for per_query in ((values * weights).reshape(len(groups), -1).sum(1), weights.reshape(len(groups), -1).sum(1))
    )
    draws = np.random.default_rng(BOOTSTRAP_SEED).multinomial(
        len(totals), np.full(len(totals), 1 / len(totals)), size=n_bootstrap
    )
    sampled = draws @ numbers
    with np.errstate(invalid="ignore"):  # a replicate of groups without any relevant image has no mean
        low, high = np.nanquantile(draws @ totals / np.where(sampled > 0, sampled, np.nan), [0.025, 0.975])
    return {name: float(totals.sum() / numbers.sum()), f"{name}_low": float(low), f"{name}_high": float(high)}
