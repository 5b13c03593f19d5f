"""What a codec is: how a batch of objects becomes bytes and comes back."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.spaces import Batch, Metric, ObjectKind
from metricsearch.store import _kernels as kernels

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]


class DamagedRecordError(CorruptedError):
    """Payload `row` of those given is not what its codec writes."""

    def __init__(self, row: int, text: str) -> None:
        super().__init__(f"record {row}: {text}")
        self.row, self.text = row, text


class Codec(ABC):
    """Encodes batches of one kind of object.

    name     : how the user calls it
    tag      : codec byte of every record, 1..255
    kind     : the objects it takes
    lossless : whether decoding gives back the same bits
    """

    name: ClassVar[str]
    tag: ClassVar[int]
    kind: ClassVar[ObjectKind]
    lossless: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Its name for people, who must see where distances are those of altered objects."""
        return self.name if self.lossless else f"{self.name} (lossy)"

    def parameters(self) -> dict[str, Any]:
        """JSON-able arguments of `get_codec` that make this codec again."""
        return {}

    def check(self, batch: Batch, name: str = "objects") -> None:  # noqa: B027 (most codecs take everything)
        """Raise InvalidInputError with the row of an object that this codec cannot represent."""

    @abstractmethod
    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        """(total,) uint8 payloads end to end and their (n,) int64 lengths in bytes; the batch has passed the gate."""

    @abstractmethod
    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        """The objects whose payloads are memory[offsets[i] : offsets[i] + lengths[i]], as own arrays.

        memory  : (size,) uint8, size a multiple of 8
        offsets : (n,) int64, multiples of 8;  lengths : (n,) int64
        width   : of the objects, see ObjectKind.width
        Raises DamagedRecordError for a payload of impossible length or content.
        """

    def distances(
        self, metric: Metric, query: Batch, memory: Bytes, ids: Integers, offsets: Integers, lengths: Integers
    ) -> NDArray[np.float64] | None:
        """(n,) float64 distances computed on the payloads, None where there is no kernel for `metric`.

        Equal to metric.distances(query, decoded) within 1e-12, and 0 for equal objects. Also compares the headers of
        the records with `ids`. Raises DamagedRecordError.
        """
        return None


def read_only(memory: Bytes) -> Bytes:
    """`memory` as the one array type that kernels are compiled for."""
    view = memory.view()
    view.flags.writeable = False
    return view


def gather(memory: Bytes, offsets: Integers, lengths: Integers) -> Bytes:
    """(sum of lengths,) uint8: the payloads, end to end."""
    out = np.empty(int(lengths.sum()), dtype=np.uint8)
    kernels.gather_bytes(read_only(memory), offsets, lengths, out)
    return out


def check_lengths(lengths: Integers, good: NDArray[np.bool_], expected: str) -> None:
    """Raise DamagedRecordError for the first payload that is not `good`."""
    if not good.all():
        row = int(np.argmin(good))
        raise DamagedRecordError(row, f"expected {expected}, its payload has {lengths[row]} bytes")


def as_bytes(array: NDArray[Any]) -> Bytes:
    """The bytes of `array`, flat."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
