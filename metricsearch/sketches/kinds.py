"""The kinds of sketches by name, and the sizes that they can have."""

from metricsearch.sketches.rabitq import FACTOR_BYTES
from metricsearch.validation import check_choice, check_integer

PIVOT_SKETCHES = ("product", "landmark", "simplex", "whitened", "hyperplane")  # any metric
VECTOR_SKETCHES = ("principal", "rabitq")
SKETCHES = (*PIVOT_SKETCHES, *VECTOR_SKETCHES)
MAX_BYTES = 255
_N_LEARNT = {"product": 16384}
_N_LEARNT_ELSE = 2048


def least_bytes(kind: str) -> int:
    """The smallest sketch of a kind."""
    return FACTOR_BYTES + 1 if kind == "rabitq" else 2


def check_sketch_bytes(kind: str, n_bytes: int) -> int:
    """`n_bytes` as int. Raises InvalidInputError: an unknown kind of sketch, or a size that it cannot have."""
    check_choice(kind, "sketch", SKETCHES)
    return check_integer(n_bytes, "sketch_bytes", least_bytes(kind), MAX_BYTES)


def n_learnt(kind: str) -> int:
    """From how many objects `fit_sketch` learns at most."""
    return _N_LEARNT.get(kind, _N_LEARNT_ELSE)
