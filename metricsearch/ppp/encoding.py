"""From objects to what the index keeps of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricsearch.partition import nearest_pivots
from metricsearch.ppp.content import Codes
from metricsearch.sketches import Sketch, encode_all
from metricsearch.spaces import Batch, Metric
from metricsearch.threads import thread_map


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """pivots: λ·k, space after space. sketch: None without sketches."""

    metric: Metric
    pivots: Batch
    n_spaces: int
    prefix_length: int
    sketch: Sketch | None
    n_threads: int

    def codes(self, batch: Batch) -> Codes:
        """Codes of checked objects; their bits do not depend on the batch or the number of threads."""
        prefixes = np.stack(
            thread_map(lambda j: self._prefixes(batch, j), range(self.n_spaces), self.n_threads), axis=1
        )
        if self.sketch is None:
            return Codes.unsketched(prefixes)
        return Codes(prefixes, encode_all(self.sketch, self.metric, batch, self.pivots, self.n_threads))

    def codes_of_all(self, chunks: Iterator[Batch]) -> Codes:
        """Codes of all objects of a stream."""
        return Codes.joined([self.codes(self.pivots[:0]), *(self.codes(batch) for batch in chunks)])

    def _prefixes(self, batch: Batch, space: int) -> NDArray[np.uint16]:
        k = len(self.pivots) // self.n_spaces
        return nearest_pivots(self.metric, batch, self.pivots[space * k : (space + 1) * k], self.prefix_length)
