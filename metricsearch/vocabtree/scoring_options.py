"""How images are scored: the options of NS06, Table 1, and those added later."""

from dataclasses import dataclass
from typing import Any

from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_choice, check_integer

NORMS = ("l1", "l2")
FREQUENCIES = ("image", "word")
REFERENCES = ("root", "parent")
SIGNATURE_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Scoring of NS06, formulas (1) to (4); each field is a column of its Table 1 where one is named.

    norm: "l1" or "l2", of the vectors and of their difference (No). levels: how many count, from the leaves (Le).
    entropy_query, entropy_database: weights ln(N / N_i) on that side, or 1 (En). frequency: N_i counts images with the
        node ("image"), or descriptors through it ("word") (Eb i/v). relative_to: ln(N / N_i) ("root") or
        ln(N_parent / N_i) ("parent") (Eb r/p). N_i = 0 counts as 1.
    exact_frequency: N_i counts different images; False: the length of the node's virtual list, which names an image
        once per leaf, as NS06 does. Such a weight may be below zero. Word frequencies and N_i of leaves stay as they
        are.
    stop_most, stop_least: per cent of the occurring nodes of each used level, the most or least frequent by
        `frequency`, ties by node number, that get weight 0 (S%); floor(n * per cent / 100) nodes.
    max_list_length: nodes with a longer (virtual) list get weight 0; None: no limit (NS06 §4).
    burstiness: square roots of n_i and m_i take their place. drop_unseen: query nodes with N_i = 0 get weight 0.
    hamming_threshold: None, or 0..64: Hamming embedding takes the place of formula (3); see `hamming`.
    Weights come from one set of images (the database, or an independent one); its N_i, lists and lengths count.
    Raises InvalidInputError.
    """

    norm: str = "l1"
    levels: int = 1
    entropy_query: bool = True
    entropy_database: bool = True
    frequency: str = "image"
    relative_to: str = "root"
    exact_frequency: bool = True
    stop_most: float = 0.0
    stop_least: float = 0.0
    max_list_length: int | None = None
    burstiness: bool = False
    drop_unseen: bool = False
    hamming_threshold: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.norm, "norm", NORMS)
        check_choice(self.frequency, "frequency", FREQUENCIES)
        check_choice(self.relative_to, "relative_to", REFERENCES)
        check_integer(self.levels, "levels", 1)
        for name in ("entropy_query", "entropy_database", "exact_frequency", "burstiness", "drop_unseen"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInputError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        for name in ("stop_most", "stop_least"):
            object.__setattr__(self, name, _check_per_cent(getattr(self, name), name))
        if self.max_list_length is not None:
            check_integer(self.max_list_length, "max_list_length", 0)
        if self.hamming_threshold is not None:
            check_integer(self.hamming_threshold, "hamming_threshold", 0, SIGNATURE_BITS)
            if self.levels != 1 or self.burstiness or self.norm != "l1":
                raise InvalidInputError(
                    "hamming_threshold: works on leaves, with burstiness and norm of its own; leave levels, burstiness "
                    "and norm at their defaults"
                )

    def check_levels(self, depth: int) -> None:
        """Raise InvalidInputError where a tree of `depth` levels has fewer than `levels`."""
        if self.levels > depth:
            raise InvalidInputError(f"levels: the tree has {depth}, got {self.levels}; the root is never used")


def _check_per_cent(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise InvalidInputError(f"{name}: expected per cent in 0..100, got {value!r}")
    return float(value)
