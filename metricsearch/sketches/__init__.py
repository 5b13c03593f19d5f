"""Sketches: a few bytes per object in memory that decide which candidates are read from disk."""

from metricsearch.sketches.fitting import encode_all, fit_sketch
from metricsearch.sketches.kinds import (
    MAX_BYTES,
    PIVOT_SKETCHES,
    SKETCHES,
    VECTOR_SKETCHES,
    check_sketch_bytes,
    n_learnt,
)
from metricsearch.sketches.restoring import restored_sketch
from metricsearch.sketches.sketch import Sketch, SketchQuery

__all__ = [
    "MAX_BYTES",
    "PIVOT_SKETCHES",
    "SKETCHES",
    "VECTOR_SKETCHES",
    "Sketch",
    "SketchQuery",
    "check_sketch_bytes",
    "encode_all",
    "fit_sketch",
    "n_learnt",
    "restored_sketch",
]
