"""What n_candidates="auto" has to know of the data: a record of deep searches, and the rules that were made from it."""

from typing import Any, Generic, TypeVar

from metricsearch.errors import InvalidInputError
from metricsearch.refinement.cutoff import Cutoff, ReadingRecord

OptionsT = TypeVar("OptionsT")


class LearntCutoff(Generic[OptionsT]):
    """A record with the rules made from it, for searches of any state of the objects that it was learnt from.

    options: of the index (None = its own); the record was made with them, so every search by it uses them. Threads may
    share it: at worst two of them make the same rule.
    """

    def __init__(self, record: ReadingRecord, options: OptionsT) -> None:
        self.record, self.options = record, options
        self._rules: dict[tuple[int, float], Cutoff] = {}

    def rule(self, k: int, target_recall: float) -> Cutoff:
        """`ReadingRecord.cutoff`, made once. Raises InvalidInputError for more neighbours than were recorded."""
        if (k, target_recall) not in self._rules:
            self._rules[k, target_recall] = self.record.cutoff(k, target_recall)
        return self._rules[k, target_recall]


def require_learnt(learnt: LearntCutoff[OptionsT] | None, options: Any) -> LearntCutoff[OptionsT]:
    """`learnt`; raise InvalidInputError if there is none, or if a search asks for other options (None = the same)."""
    if learnt is None:
        raise InvalidInputError(
            'n_candidates: "auto" needs to know the data; call learn_cutoff() first (or: metricsearch learn-cutoff)'
        )
    if options is not None and options != learnt.options:
        raise InvalidInputError("options: the cut-off was learnt with others; pass them to learn_cutoff()")
    return learnt
