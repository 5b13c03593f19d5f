"""Sketches from saved arrays. Kernels read without checking bounds, so whatever is wrong must be found here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.sketches.coding import ScalarCode
from metricsearch.sketches.coordinates import Coordinates
from metricsearch.sketches.kinds import MAX_BYTES, SKETCHES, VECTOR_SKETCHES, least_bytes
from metricsearch.sketches.product import ProductCode
from metricsearch.sketches.rabitq import RaBitQSketch
from metricsearch.sketches.sketch import Altitude, CodedSketch, HyperplaneSketch, Sketch

_POWERS = {"whitened": (2,), "hyperplane": (2,), "principal": (1,), "rabitq": (1,)}  # the others: 1 or 2
Arrays = dict[str, NDArray[np.generic]]


def restored_sketch(kind: Any, n_bytes: Any, arrays: Arrays, n_pivots: int, width: int | None, where: str) -> Sketch:
    """The sketch that gave `arrays()`. width: of vectors. Raises CorruptedError, which says `where`."""
    if not isinstance(kind, str) or kind not in SKETCHES:
        raise CorruptedError(f"{where}: {kind!r} is no kind of sketch; rebuild the index")
    if type(n_bytes) is not int or not least_bytes(kind) <= n_bytes <= MAX_BYTES:
        raise CorruptedError(f"{where}: a sketch cannot have {n_bytes!r} bytes; rebuild the index")
    of_vectors = kind in VECTOR_SKETCHES
    coordinates = Coordinates.from_arrays(arrays, (width or 0) if of_vectors else n_pivots, where)
    if coordinates.of_vectors is not of_vectors or coordinates.power not in _POWERS.get(kind, (1, 2)):
        raise CorruptedError(f"{where}: the arrays of the sketch are none of {kind!r}; rebuild the index")
    if kind == "rabitq":
        return RaBitQSketch.from_arrays(n_bytes, coordinates, arrays, where)
    altitude = _altitude(kind, arrays, where)
    n_coded = n_bytes - (altitude is not None)
    if kind == "product":
        product = ProductCode.from_arrays(n_coded, arrays, coordinates.n_coordinates, where)
        return CodedSketch(kind, n_bytes, coordinates, product, altitude)
    code = ScalarCode.from_arrays(n_coded, arrays, coordinates.n_coordinates, where)
    if kind != "hyperplane":
        return CodedSketch(kind, n_bytes, coordinates, code, altitude)
    if (code.bits != 1).any():
        raise CorruptedError(f"{where}: the arrays of the sketch are none of {kind!r}; rebuild the index")
    return HyperplaneSketch(kind, n_bytes, coordinates, code)


def _altitude(kind: str, arrays: Arrays, where: str) -> Altitude | None:
    numbers = arrays.get("altitude")
    if numbers is None and kind != "simplex":
        return None
    if (
        numbers is None
        or kind in ("whitened", "hyperplane")
        or numbers.dtype != np.float64
        or numbers.shape != (3,)
        or not np.isfinite(numbers).all()
        or not float(numbers[1]) > 0
    ):
        raise CorruptedError(f"{where}: the altitudes of the sketch make no sense; rebuild the index")
    return Altitude(*(float(number) for number in numbers))
