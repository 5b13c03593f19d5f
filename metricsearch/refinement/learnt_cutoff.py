"""What n_candidates="auto" has to know of the data: a record of deep searches, and the rules that were made from it."""

from typing import Any, Generic, TypeVar

from metricsearch.errors import InvalidInputError
from metricsearch.refinement.cutoff import Cutoff, ReadingRecord

OptionsT = TypeVar("OptionsT")

MAX_GROWTH = 2  # a record serves up to so many times as many objects as it was learnt from


class LearntCutoff(Generic[OptionsT]):
    """A record with the rules made from it, for searches of any state of the objects that it was learnt from.

    options: of the index (None = its own); the record was made with them, so every search by it uses them. Threads may
    share it: at worst two of them make the same rule. n_objects: of the index when the record was made.
    """

    def __init__(self, record: ReadingRecord, options: OptionsT, n_objects: int) -> None:
        self.record, self.options, self.n_objects = record, options, n_objects
        self._rules: dict[tuple[int, float], Cutoff] = {}

    def rule(self, k: int, target_recall: float) -> Cutoff:
        """`ReadingRecord.cutoff`, made once. Raises InvalidInputError for more neighbours than were recorded."""
        if (k, target_recall) not in self._rules:
            self._rules[k, target_recall] = self.record.cutoff(k, target_recall)
        return self._rules[k, target_recall]


def require_learnt(learnt: LearntCutoff[OptionsT] | None, options: Any, n_objects: int) -> LearntCutoff[OptionsT]:
    """`learnt`; raise InvalidInputError if there is none, or if it does not serve a search.

    options: that the search asks for, None = the same. n_objects: of the index now; more objects have nearer neighbours
    among them, and the recall would fall short unnoticed.
    """
    if learnt is None:
        raise InvalidInputError(
            'n_candidates: "auto" needs to know the data; call learn_cutoff() first (or: metricsearch learn-cutoff)'
        )
    if options is not None and options != learnt.options:
        raise InvalidInputError("options: the cut-off was learnt with others; pass them to learn_cutoff()")
    if n_objects > MAX_GROWTH * learnt.n_objects:
        raise InvalidInputError(
            f"n_candidates: the cut-off was learnt from {learnt.n_objects:,} objects, and there are {n_objects:,} now; "
            "call learn_cutoff() again (or: metricsearch learn-cutoff)"
        )
    return learnt
