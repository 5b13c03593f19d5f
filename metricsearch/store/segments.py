"""The layout inside the LMDB file.

LMDB rounds every long value up to whole pages, which would cost half of the disk for objects of 5 KB. So records lie
back to back in segments of some MiB, each one value:

    segments   segment number (uint64 big-endian) -> records, then zeros up to at least a page
    directory  ID (uint64 big-endian) -> segment, offset of the payload in it, length of the payload (3 x uint32)
    meta       "header" -> crc32 and JSON;  "segment" + number -> crc32 and counts

A record is  crc32 uint32 | codec tag uint8, payload length uint24 | ID int64 | payload | zeros up to a multiple of 8,
so that payloads are aligned for the kernels. The crc32 covers all that follows it but the zeros.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, FormatVersionError, InvalidInputError
from metricsearch.store import _kernels as kernels
from metricsearch.store.codec import Bytes, Integers, read_only

FORMAT_VERSION = 1
SEGMENT_BYTES = 4 << 20
RECORD_HEADER_BYTES = 16
MAX_PAYLOAD_BYTES = 2**24 - 1
HEADER_KEY = b"header"

ENTRY = np.dtype([("segment", "<u4"), ("offset", "<u4"), ("length", "<u4")])  # of the directory

_SEGMENT_PREFIX = b"segment"
_INFO = struct.Struct("<QQQQQ")


class SegmentInfo(NamedTuple):
    """Counts of one segment, and where it lies; record bytes include header and padding."""

    n_records: int
    n_live: int  # records that the directory points to
    used_bytes: int  # where the records end and zeros begin
    live_bytes: int
    start: int = 0  # byte position of its first record in the file

    def to_bytes(self) -> bytes:
        """With a checksum in front."""
        return with_crc(_INFO.pack(*self))


@dataclass(frozen=True)
class StoreHeader:
    """What a store is, and its counts at one committed state."""

    codec: str
    kind: str
    width: int | None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    segment_bytes: int = SEGMENT_BYTES
    n_objects: int = 0
    payload_bytes: int = 0
    version: int = 0  # + 1 per committed add or remove
    next_segment: int = 0  # segments from here on are left over from an unfinished add
    format: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """With a checksum in front."""
        return with_crc(json.dumps(asdict(self)).encode())


def parse_header(value: bytes | None, where: object) -> StoreHeader:
    """Invert StoreHeader.to_bytes. Raises CorruptedError, FormatVersionError that name `where`."""
    if value is None:
        raise CorruptedError(f"{where}: not an object store: an LMDB file without a store header")
    try:
        fields = json.loads(without_crc(value))
        if fields["format"] != FORMAT_VERSION:
            raise FormatVersionError(
                f"{where}: has format version {fields['format']}, this package reads {FORMAT_VERSION}; "
                "use the package that wrote it, or build it again"
            )
        return StoreHeader(**fields)
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, CorruptedError) as error:
        raise CorruptedError(f"{where}: its store header is damaged; restore it from a copy") from error


def parse_info(value: bytes, where: object) -> SegmentInfo:
    """Invert SegmentInfo.to_bytes. Raises CorruptedError."""
    try:
        return SegmentInfo(*_INFO.unpack(without_crc(value)))
    except (struct.error, CorruptedError) as error:
        raise CorruptedError(f"{where}: the counts of a segment are damaged; restore it from a copy") from error


def with_crc(content: bytes) -> bytes:
    """`content` behind its crc32."""
    return struct.pack("<I", zlib.crc32(content)) + content


def without_crc(value: bytes) -> bytes:
    """Invert `with_crc`; raise CorruptedError where the checksum differs."""
    content = bytes(value[4:])
    if len(value) < 4 or struct.unpack_from("<I", value)[0] != zlib.crc32(content):
        raise CorruptedError("checksum differs")
    return content


def segment_key(number: int) -> bytes:
    """Key of a segment."""
    return number.to_bytes(8, "big")


def info_key(number: int) -> bytes:
    """Key of the counts of a segment in `meta`."""
    return _SEGMENT_PREFIX + number.to_bytes(8, "big")


def segment_of_info_key(key: bytes) -> int | None:
    """Invert `info_key`; None for another key."""
    return int.from_bytes(key[len(_SEGMENT_PREFIX) :], "big") if key.startswith(_SEGMENT_PREFIX) else None


def id_keys(ids: Integers) -> list[bytes]:
    """Keys of IDs in the directory."""
    return ids.astype(">i8").view("V8").tolist()  # type: ignore[no-any-return]


def padded(lengths: Any) -> Any:
    """Lengths rounded up to multiples of 8."""
    return (lengths + 7) & ~7


def record_bytes(lengths: Any) -> Any:
    """Bytes of records with payloads of these lengths."""
    return RECORD_HEADER_BYTES + padded(lengths)


def pack_records(ids: Integers, payload: Bytes, lengths: Integers, tag: int) -> tuple[Bytes, Integers]:
    """Records of objects: the block of bytes and the (n,) offsets of the payloads in it.

    payload : (total,) uint8, end to end.  Raises InvalidInputError for a payload of 16 MiB or more.
    """
    if lengths.size and int(lengths.max()) > MAX_PAYLOAD_BYTES:
        row = int(np.argmax(lengths))
        raise InvalidInputError(
            f"objects: ID {ids[row]} takes {lengths[row]:,} bytes, at most {MAX_PAYLOAD_BYTES:,} are possible"
        )
    sizes = record_bytes(lengths)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    block = np.zeros(int(sizes.sum()), dtype=np.uint8)
    kernels.place_records(read_only(payload), lengths, ids, tag, starts, block)
    block.view(np.uint32)[starts >> 2] = record_checksums(block, starts + RECORD_HEADER_BYTES, lengths)
    return block, starts + RECORD_HEADER_BYTES


def record_checksums(memory: Bytes, offsets: Integers, lengths: Integers) -> NDArray[np.uint32]:
    """(n,) uint32: crc32 of each record whose payload is memory[offsets[i] : offsets[i] + lengths[i]]."""
    view, crc32 = memory.data, zlib.crc32
    begins = (offsets - RECORD_HEADER_BYTES + 4).tolist()
    ends = (offsets + lengths).tolist()
    sums = [crc32(view[begin:end]) for begin, end in zip(begins, ends, strict=True)]
    return np.array(sums, dtype=np.uint32)


def stored_checksums(memory: Bytes, offsets: Integers) -> NDArray[np.uint32]:
    """(n,) uint32: the crc32 that stands in the header of each record."""
    words: NDArray[np.uint32] = memory.view(np.uint32)
    sums: NDArray[np.uint32] = words[(offsets - RECORD_HEADER_BYTES) >> 2]
    return sums


def scan_segment(memory: Bytes, begin: int, info: SegmentInfo, tag: int) -> tuple[Integers, Integers, Integers] | None:
    """(ids, offsets of payloads in memory, lengths) of the segment that begins at memory[begin]; None if damaged."""
    ids, offsets, lengths = np.empty((3, info.n_records), dtype=np.int64)
    end = begin + info.used_bytes
    if end > len(memory) or end % 8:
        return None
    n = kernels.scan_records(read_only(memory), begin, end, tag, ids, offsets, lengths)
    return (ids, offsets, lengths) if n == info.n_records else None
