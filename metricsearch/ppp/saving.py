"""What an index has learnt from its objects, as arrays: pivots, calibration, sketch."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.ppp.scores import NO_CALIBRATION, check_table
from metricsearch.sketches import Sketch, restored_sketch
from metricsearch.spaces import Batch, Ragged, batch_nbytes

_SKETCH = "sketch-"  # how the names of its arrays begin


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """pivots: λ·k, None before they are chosen. calibration: see `learn_calibration`. sketch: None without sketches."""

    pivots: Batch | None = None
    calibration: NDArray[np.float64] = field(default_factory=lambda: NO_CALIBRATION)
    sketch: Sketch | None = None

    def memory_report(self) -> dict[str, int]:
        """Bytes by part."""
        return {
            "pivots": 0 if self.pivots is None else batch_nbytes(self.pivots),
            "calibration": self.calibration.nbytes,
            "sketch map": 0 if self.sketch is None else self.sketch.nbytes,
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        arrays: dict[str, NDArray[Any]] = {}
        if isinstance(self.pivots, Ragged):
            arrays |= {"pivots-values": self.pivots.values, "pivots-offsets": self.pivots.offsets}
        elif self.pivots is not None:
            arrays["pivots"] = self.pivots
        if len(self.calibration):
            arrays["calibration"] = self.calibration
        if self.sketch is not None:
            arrays |= {f"{_SKETCH}{name}": array for name, array in self.sketch.arrays().items()}
        return arrays

    @classmethod
    def from_arrays(
        cls,
        arrays: dict[str, NDArray[Any]],
        n_spaces: int,
        n_pivots: int,
        sketch: str | None,
        sketch_bytes: int,
        where: str,
    ) -> "Learnt":
        """What gave `to_arrays()`; the pivots are not checked yet. Raises CorruptedError."""
        calibration = check_table(arrays.get("calibration", NO_CALIBRATION), n_spaces, where)
        pivots: Batch | None = arrays.get("pivots")
        if "pivots-values" in arrays:
            pivots = Ragged(arrays["pivots-values"], arrays["pivots-offsets"])
        if sketch is None:
            return cls(pivots, calibration)
        saved = {name.removeprefix(_SKETCH): array for name, array in arrays.items() if name.startswith(_SKETCH)}
        restored = restored_sketch(sketch, sketch_bytes, saved, n_spaces * n_pivots, None, where)
        return cls(pivots, calibration, restored)
