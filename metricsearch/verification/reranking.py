"""The first images of an answer put in the order of what they verifiably share with the query photo."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_ids, check_integer
from metricsearch.verification.geometry import (
    Features,
    PreparedFeatures,
    Verification,
    VerificationOptions,
    prepare_features,
    verify,
)


@dataclass(frozen=True, slots=True, eq=False)
class VerifiedResult:
    """An answer after verification, best first."""

    ids: NDArray[np.int64]  # (k',)
    scores: NDArray[np.float64]  # (k',) as the search gave them: no longer ascending
    n_inliers: NDArray[np.int64]  # (k',) 0 for images that were refused, or not looked at
    verifications: tuple[Verification, ...]  # of the first len(verifications) images; the others were not looked at


def rerank(
    ids: ArrayLike,
    scores: ArrayLike,
    query: Features | PreparedFeatures,
    load: Callable[[int], Features],
    *,
    top: int = 100,
    options: VerificationOptions | None = None,
    n_threads: int | None = None,
) -> VerifiedResult:
    """Verify the first `top` images and order them by inliers, most first; ties by score, then by ID.

    Images without an acceptable transform thus follow the verified ones in the order of their scores, and images
    after the first `top` keep their places. `load(id)` gives the features of an image; it is called from up to
    `n_threads` threads (None: all cores). The result does not depend on their number.

    ids, scores: (k',) of a search, best first, smaller scores are better. Raises InvalidInputError for unequal
    lengths, NaN, or features that do not fit the query's; what `load` raises comes through.
    """
    answer = check_ids(ids, "ids")
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != answer.shape or np.isnan(values).any():
        raise InvalidInputError(f"scores: expected {answer.size} numbers, one per ID, got shape {values.shape} or NaN")
    n_verified = min(check_integer(top, "top", 0), len(answer))
    prepared = prepare_features(query, "query")

    def verify_one(image_id: int) -> Verification:
        return verify(prepared, prepare_features(load(image_id), f"image {image_id}"), options)

    found = thread_map(verify_one, answer[:n_verified].tolist(), resolve_threads(n_threads))
    n_inliers = np.zeros(len(answer), dtype=np.int64)
    n_inliers[:n_verified] = [verification.n_inliers for verification in found]
    order = np.arange(len(answer))
    order[:n_verified] = np.lexsort((answer[:n_verified], values[:n_verified], -n_inliers[:n_verified]))
    verifications = tuple(found[place] for place in order[:n_verified])
    return VerifiedResult(answer[order], values[order], n_inliers[order], verifications)
