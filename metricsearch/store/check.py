"""Checks of the content of a store: every record, every directory entry, every count."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import MetricSearchError
from metricsearch.store.codec import Bytes, Codec, Integers
from metricsearch.store.environment import Environment
from metricsearch.store.lmdb_file import P_OVERFLOW, PAGE_HEADER_BYTES, lmdb_errors, page_of
from metricsearch.store.segments import (
    ENTRY,
    HEADER_KEY,
    SegmentInfo,
    StoreHeader,
    id_keys,
    padded,
    parse_header,
    parse_info,
    record_bytes,
    record_checksums,
    scan_segment,
    segment_key,
    segment_of_info_key,
    stored_checksums,
)
from metricsearch.store.snapshot import joined

_AT_MOST = 100  # problems reported

Entries = NDArray[Any]  # of dtype ENTRY


def content_problems(environment: Environment, codec: Codec) -> list[str]:
    """What is wrong in the newest committed state, at most 100 lines; an empty list means nothing."""
    problems: list[str] = []
    try:
        with environment.read(buffers=True) as txn, lmdb_errors(environment.path):
            for problem in islice(_problems(txn, environment, codec), _AT_MOST):
                problems.append(f"{environment.path}: {problem}")
    except MetricSearchError as error:
        problems.append(str(error))
    return problems


def _problems(txn: Any, environment: Environment, codec: Codec) -> Iterator[str]:
    header = parse_header(txn.get(HEADER_KEY, db=environment.meta), environment.path)
    page_bytes = int(environment.env.stat()["psize"])
    infos: dict[int, SegmentInfo] = {}
    for key, value in txn.cursor(environment.meta):
        number = segment_of_info_key(bytes(key))
        if number is not None:
            infos[number] = parse_info(value, environment.path)
    with txn.cursor(environment.directory) as cursor:
        keys = joined(cursor.iternext(keys=True, values=False))
        values = joined(cursor.iternext(keys=False, values=True))
    if len(keys) % 8 or len(values) != len(keys) // 8 * ENTRY.itemsize:
        yield "a directory entry has a wrong length"
        return
    ids = np.frombuffer(keys, dtype=">i8").astype(np.int64)
    entries: Entries = np.frombuffer(values, dtype=ENTRY)
    yield from _directory(txn, header, ids, entries)
    yield from _segment_numbers(txn, environment, header, infos, entries)
    order = np.argsort(entries["segment"], kind="stable")
    owners = entries["segment"][order]
    for number, info in sorted(infos.items()):
        value = txn.get(segment_key(number), db=environment.segments)
        if (
            value is not None
            and page_of(value, page_bytes, P_OVERFLOW)[0] * page_bytes + PAGE_HEADER_BYTES != info.start
        ):
            yield f"segment {number}: it lies elsewhere than its counts say"
        rows = order[np.searchsorted(owners, number) : np.searchsorted(owners, number, side="right")]
        if value is not None:
            for problem in _segment(np.frombuffer(value, dtype=np.uint8), info, ids[rows], entries[rows], codec.tag):
                yield f"segment {number}: {problem}"


def _directory(txn: Any, header: StoreHeader, ids: Integers, entries: Entries) -> Iterator[str]:
    """The directory by iteration against itself by lookup, and against the counts of the header."""
    if (ids[1:] <= ids[:-1]).any() or (len(ids) and ids[0] < 0):
        yield "the IDs of the directory are not ascending"
    size, packed = ENTRY.itemsize, entries.tobytes()
    for row, key in enumerate(id_keys(ids)):
        if txn.get(key) != packed[row * size : (row + 1) * size]:
            yield f"ID {ids[row]} is in the directory but is not found by lookup"
    if len(ids) != header.n_objects:
        yield f"the header counts {header.n_objects} objects, the directory has {len(ids)}"
    n_bytes = int(entries["length"].sum(dtype=np.int64))
    if n_bytes != header.payload_bytes:
        yield f"the header counts {header.payload_bytes} payload bytes, the directory has {n_bytes}"


def _segment_numbers(
    txn: Any, environment: Environment, header: StoreHeader, infos: dict[int, SegmentInfo], entries: Entries
) -> Iterator[str]:
    """The segments that are there, that are counted, and that the directory points to must be the same."""
    with txn.cursor(environment.segments) as cursor:
        numbers = {int.from_bytes(key, "big") for key in cursor.iternext(keys=True, values=False)}
    there = {number for number in numbers if number < header.next_segment}  # others: of an add that is not published
    for number in sorted(there ^ set(infos)):
        yield f"segment {number} is {'there but not counted' if number in there else 'counted but not there'}"
    for number in sorted(set(np.unique(entries["segment"]).tolist()) - set(infos)):
        yield f"the directory points to segment {number}, which is not there"


def _segment(memory: Bytes, info: SegmentInfo, ids: Integers, entries: Entries, tag: int) -> Iterator[str]:
    """One segment against its counts, its checksums and the directory entries that point to it."""
    records = scan_segment(memory, 0, info, tag)
    if records is None:
        yield f"its record headers do not lead through its {info.used_bytes:,} bytes"
        return
    record_ids, offsets, lengths = records
    for row in np.flatnonzero(record_checksums(memory, offsets, lengths) != stored_checksums(memory, offsets)):
        yield f"object {record_ids[row]}: its checksum differs"
    is_padding = np.zeros(len(memory) + 1, dtype=np.int8)  # + 1 where padding begins, - 1 where it ends
    np.add.at(is_padding, offsets + lengths, 1)
    np.add.at(is_padding, offsets + padded(lengths), -1)
    is_padding[info.used_bytes] += 1
    if memory[np.cumsum(is_padding[:-1]) > 0].any():
        yield "bytes between or after its records are not zero"
    rows = np.minimum(np.searchsorted(offsets, entries["offset"]), len(offsets) - 1)
    fits = (offsets[rows] == entries["offset"]) & (record_ids[rows] == ids) & (lengths[rows] == entries["length"])
    for object_id in ids[~fits]:
        yield f"object {object_id}: its directory entry does not lead to its record"
    if info.n_live != len(ids) or info.live_bytes != record_bytes(entries["length"].astype(np.int64)).sum():
        yield f"counts {info.n_live} live records, the directory points to {len(ids)}"
