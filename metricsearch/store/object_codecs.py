"""Codecs of objects that are not vectors: strings, bit strings, sets, signatures, point sets. All lossless."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import BITS, POINT_SETS, SETS, SIGNATURES, STRINGS, Batch, Ragged
from metricsearch.store.codec import Bytes, Codec, DamagedRecordError, Integers, as_bytes, check_lengths, gather


class _Utf8(Codec):
    """Strings in UTF-8; lone surrogates, which Python strings may hold, are kept."""

    name, tag, kind = "utf8", 16, STRINGS

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        ragged = _ragged(batch)
        points = np.ascontiguousarray(ragged.values, dtype=np.uint32)
        text = points.tobytes().decode("utf-32-le", "surrogatepass")
        payload = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
        n_bytes = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
        return payload, np.diff(_running_sum(n_bytes)[ragged.offsets])

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        payload = gather(memory, offsets, lengths)
        ends = _running_sum(lengths)
        # Every byte but a continuation (10xxxxxx) begins a code point.
        starts = _running_sum((payload & 0xC0) != 0x80)
        try:
            text = payload.tobytes().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            row = int(np.searchsorted(ends, error.start, side="right")) - 1
            raise DamagedRecordError(row, "its payload is not UTF-8") from None
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        return Ragged(points.copy(), starts[ends])


class _Bits(Codec):
    """Bit strings as their packed bytes."""

    name, tag, kind = "bits", 17, BITS

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        if not isinstance(batch, np.ndarray) or batch.ndim != 2 or batch.dtype != np.uint8:
            raise InvalidInputError("objects: expected checked bit strings, an (n, n_bytes) uint8 array")
        return as_bytes(batch), np.full(len(batch), batch.shape[1])

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        if width is None:
            raise InvalidInputError("width: a store of bit strings has a number of bytes per object, got None")
        check_lengths(lengths, lengths == width, f"{width} bytes")
        return gather(memory, offsets, lengths).reshape(-1, width)


class _Sets(Codec):
    """Sets as their ascending elements, int64 each."""

    name, tag, kind = "sets", 18, SETS

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        ragged = _ragged(batch)
        return as_bytes(ragged.values.astype(np.int64, copy=False)), 8 * np.diff(ragged.offsets)

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        check_lengths(lengths, lengths % 8 == 0, "a multiple of 8 bytes")
        return Ragged(gather(memory, offsets, lengths).view(np.int64), _running_sum(lengths // 8))


class _Tables(Codec):
    """Number of columns as int64, then float32 rows."""

    def encode(self, batch: Batch) -> tuple[Bytes, Integers]:
        ragged = _ragged(batch)
        rows, offsets = ragged.values.astype(np.float32, copy=False), ragged.offsets
        columns = rows.shape[1]
        lengths = 8 + 4 * columns * np.diff(offsets)
        payload = np.empty(int(lengths.sum()) // 4, dtype=np.uint32)
        starts = _running_sum(lengths // 4)[:-1]
        is_count = np.zeros(payload.size, dtype=np.bool_)
        is_count[starts] = is_count[starts + 1] = True
        payload[starts], payload[starts + 1] = columns, 0
        payload[~is_count] = np.ascontiguousarray(rows).reshape(-1).view(np.uint32)
        return as_bytes(payload), lengths

    def decode(self, memory: Bytes, offsets: Integers, lengths: Integers, width: int | None) -> Batch:
        if width is None:
            raise InvalidInputError(f"width: a store of {self.kind.name} has a number of columns, got None")
        check_lengths(lengths, (lengths >= 8) & (lengths % 4 == 0), "8 bytes and a multiple of 4 more")
        columns = memory.view(np.int64)[offsets >> 3]
        good = (columns == width) & ((lengths - 8) % (4 * width) == 0)
        check_lengths(lengths, good, f"whole rows of {width} columns")
        rows = gather(memory, offsets + 8, lengths - 8).view(np.float32).reshape(-1, width)
        return Ragged(rows, _running_sum((lengths - 8) // (4 * width)))


class _Signatures(_Tables):
    """Signatures: float32 rows of centre coordinates and weight."""

    name, tag, kind = "signatures", 19, SIGNATURES


class _PointSets(_Tables):
    """Point sets: float32 rows of coordinates."""

    name, tag, kind = "point-sets", 20, POINT_SETS


def _ragged(batch: Batch) -> Ragged:
    if not isinstance(batch, Ragged):
        raise InvalidInputError("objects: expected a checked Ragged batch, got an array")
    return batch


def _running_sum(values: NDArray[Any]) -> Integers:
    """(n + 1,) int64: 0, then the sums of the first 1..n values."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


OBJECT_CODECS: tuple[type[Codec], ...] = (_Utf8, _Bits, _Sets, _Signatures, _PointSets)
