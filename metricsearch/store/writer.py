"""Changes: streaming add, remove, and the housekeeping that keeps segments few and full.

Only the last transaction of an add touches `directory` and `meta`, so it makes all objects visible at once. Segments
written before it have numbers from `next_segment` on: by these, what an interrupted add has left is known and deleted.
"""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, DuplicateIdError, InvalidInputError, MetricSearchError, StorageError
from metricsearch.spaces import Batch, ObjectKind, batch_nbytes
from metricsearch.store.codec import Codec, Integers, gather
from metricsearch.store.draft import Entries, SegmentDraft
from metricsearch.store.environment import Environment
from metricsearch.store.lmdb_file import P_OVERFLOW, PAGE_HEADER_BYTES, lmdb_errors, page_of, remove_seal
from metricsearch.store.segments import (
    ENTRY,
    HEADER_KEY,
    RECORD_HEADER_BYTES,
    SegmentInfo,
    StoreHeader,
    id_keys,
    info_key,
    pack_records,
    parse_header,
    parse_info,
    record_bytes,
    scan_segment,
    segment_key,
    segment_of_info_key,
)
from metricsearch.store.snapshot import lookup
from metricsearch.validation import check_ids

Chunk = tuple[Integers, Batch]

_SEGMENTS_PER_COMMIT = 4
_MOST_DEAD = 0.5  # a segment with a smaller live share is rewritten


@dataclass(slots=True)
class _Addition:
    """An add under way: full segments not yet written, the last one still open, and the entries to publish."""

    next_segment: int
    full: list[SegmentDraft] = field(default_factory=list)
    tail: SegmentDraft = field(default_factory=SegmentDraft)
    entries: Entries = field(default_factory=Entries)
    infos: dict[int, SegmentInfo] = field(default_factory=dict)
    payload_bytes: int = 0


class Writer:
    """The one changer of a store; its caller sees to it that there is only one, and one call at a time.

    A change is prepare(), then add() or remove(), then recover() if these have raised.

    header   : of the newest committed state
    segments : counts of every visible segment
    """

    def __init__(self, environment: Environment, codec: Codec, kind: ObjectKind) -> None:
        self._environment, self._codec, self._kind = environment, codec, kind
        self._sealed = True  # unknown: treated as sealed, so that the first change removes the seal
        self._page_bytes = int(environment.env.stat()["psize"])
        self._loaded = False
        self.prepare()

    def prepare(self) -> None:
        """To be called before a change: bring `header` and `segments` up to date, delete what an add has left."""
        environment = self._environment
        if not self._loaded:
            with environment.read() as txn, lmdb_errors(environment.path):
                self.header = parse_header(txn.get(HEADER_KEY, db=environment.meta), environment.path)
                self.segments: dict[int, SegmentInfo] = {}
                for key, value in txn.cursor(environment.meta):
                    number = segment_of_info_key(key)
                    if number is not None:
                        self.segments[number] = parse_info(value, environment.path)
            self._loaded = True
        self._drop_leftovers()

    def recover(self) -> None:
        """To be called when a change has raised, be it before or after its commit (KeyboardInterrupt)."""
        self._loaded = False
        with suppress(MetricSearchError):  # what was raised first is to be reported; the next change tries again
            self.prepare()

    # --- transactions

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A synced write transaction; leaving by an exception aborts it."""
        if self._sealed:
            remove_seal(self._environment.path)
            self._sealed = False
        with lmdb_errors(self._environment.path), self._begin() as txn:
            yield txn

    def _begin(self) -> Any:
        return self._environment.env.begin(db=self._environment.directory, write=True, buffers=True)

    def sealed(self) -> None:
        """To be told that the file was sealed."""
        self._sealed = True

    def _drop_leftovers(self) -> None:
        """Delete the segments that an unfinished add has left."""
        environment = self._environment
        with environment.read() as txn, txn.cursor(environment.segments) as cursor:
            if not cursor.set_range(segment_key(self.header.next_segment)):
                return
        with self._transaction() as txn, txn.cursor(environment.segments) as cursor:
            while cursor.set_range(segment_key(self.header.next_segment)):
                cursor.delete()

    def _put_header(self, txn: Any, header: StoreHeader, infos: dict[int, SegmentInfo | None]) -> None:
        """Write the header and the changed counts of segments; None deletes a segment with its counts."""
        environment = self._environment
        for number, info in infos.items():
            if info is None:
                txn.delete(segment_key(number), db=environment.segments)
                txn.delete(info_key(number), db=environment.meta)
            else:
                txn.put(info_key(number), info.to_bytes(), db=environment.meta)
        txn.put(HEADER_KEY, header.to_bytes(), db=environment.meta)

    def _committed(self, header: StoreHeader, infos: dict[int, SegmentInfo | None]) -> None:
        self.header = header
        for number, info in infos.items():
            if info is None:
                self.segments.pop(number, None)
            else:
                self.segments[number] = info

    # --- add

    def add(self, chunks: Iterable[Chunk]) -> int:
        """See ObjectStore.add."""
        addition = _Addition(self.header.next_segment)
        for ids, batch in chunks:
            self._append(addition, ids, batch)
        return self._publish(addition)

    def _append(self, addition: _Addition, ids: Integers, batch: Batch) -> None:
        ids = check_ids(ids, "ids", len(batch))
        if not len(ids):
            return
        self._check_batch(batch)
        self._check_new(ids)
        self._codec.check(batch)
        step = max(1, self.header.segment_bytes * len(ids) // max(1, batch_nbytes(batch)))
        for start in range(0, len(ids), step):
            some = ids[start : start + step]
            payload, lengths = self._codec.encode(batch[start : start + step])
            block, offsets = pack_records(some, payload, lengths, self._codec.tag)
            addition.tail.append(block, some, offsets, lengths)
            addition.payload_bytes += int(lengths.sum())
            if addition.tail.n_bytes >= self.header.segment_bytes:
                addition.full.append(addition.tail)
                addition.tail = SegmentDraft()
            if len(addition.full) == _SEGMENTS_PER_COMMIT:
                with self._transaction() as txn:
                    self._write_full(txn, addition)

    def _check_batch(self, batch: Batch) -> None:
        width = self._kind.width(batch)
        if width != self.header.width:
            raise InvalidInputError(f"objects: the store has objects of width {self.header.width}, got {width}")

    def _check_new(self, ids: Integers) -> None:
        """Raise DuplicateIdError for an ID that the store has."""
        environment = self._environment
        with environment.read() as txn, lmdb_errors(environment.path):
            with txn.cursor() as cursor:
                if not cursor.last() or int.from_bytes(cursor.key(), "big") < ids.min():
                    return
            for object_id, key in zip(ids.tolist(), id_keys(ids), strict=True):
                if txn.get(key) is not None:
                    raise DuplicateIdError(f"ids: ID {object_id} is already in the store {environment.path}")

    def _write_full(self, txn: Any, addition: _Addition) -> None:
        for draft in addition.full:
            addition.infos[addition.next_segment] = self._write_segment(txn, draft, addition.next_segment)
            addition.entries.extend(draft.added)
            addition.next_segment += 1
        addition.full.clear()

    def _write_segment(self, txn: Any, draft: SegmentDraft, number: int) -> SegmentInfo:
        """Write a segment and return its counts and its place: LMDB keeps a value in the pages it is put into."""
        draft.number(number)
        value = draft.value(self._page_bytes - PAGE_HEADER_BYTES)
        if not txn.put(segment_key(number), value, db=self._environment.segments, append=True):
            raise CorruptedError(f"{self._environment.path}: segment {number} is there already; restore it from a copy")
        return draft.info._replace(start=self._start_of(txn, number))

    def _start_of(self, txn: Any, number: int) -> int:
        with txn.cursor(self._environment.segments) as cursor:
            cursor.set_key(segment_key(number))
            page, _ = page_of(cursor.value(), self._page_bytes, P_OVERFLOW)
        return page * self._page_bytes + PAGE_HEADER_BYTES

    def _publish(self, addition: _Addition) -> int:
        """The transaction that makes an add visible; returns the number of objects added."""
        infos: dict[int, SegmentInfo | None] = {}
        drafts = [*addition.full, addition.tail]
        n_added = sum(map(len, addition.entries.ids)) + sum(len(ids) for draft in drafts for ids in draft.added.ids)
        if not n_added:
            return 0
        with self._transaction() as txn:
            if addition.tail.n_records:
                for number in self._absorb(txn, addition.tail):
                    infos[number] = None
                addition.full.append(addition.tail)
            self._write_full(txn, addition)
            self._put_entries(txn, *addition.entries.sorted(), new=True)
            self._put_entries(txn, *addition.tail.moved.sorted(), new=False)
            infos.update(addition.infos)
            header = replace(
                self.header,
                n_objects=self.header.n_objects + n_added,
                payload_bytes=self.header.payload_bytes + addition.payload_bytes,
                version=self.header.version + 1,
                next_segment=addition.next_segment,
            )
            self._put_header(txn, header, infos)
        self._committed(header, infos)
        return n_added

    def _put_entries(self, txn: Any, ids: Integers, entries: NDArray[np.void], *, new: bool) -> None:
        """Write directory entries of ascending `ids`; DuplicateIdError where a new one is there already, or twice."""
        environment = self._environment
        if new and (ids[1:] == ids[:-1]).any():
            twice = ids[np.argmax(ids[1:] == ids[:-1])]
            raise DuplicateIdError(f"ids: ID {twice} is given more than once, in different chunks")
        with txn.cursor(environment.directory) as cursor:
            append = bool(new and len(ids)) and (not cursor.last() or int.from_bytes(cursor.key(), "big") < int(ids[0]))
            packed, size = entries.tobytes(), entries.dtype.itemsize
            values = (packed[at : at + size] for at in range(0, len(packed), size))
            pairs = zip(id_keys(ids), values, strict=True)
            # Slices: putmulti makes a list of what it is given.
            while some := list(islice(pairs, 10_000)):
                _, n_written = cursor.putmulti(some, overwrite=not new, append=append)
                if n_written != len(some):
                    raise CorruptedError(
                        f"{environment.path}: the directory contradicts itself; restore it from a copy"
                    )

    # --- housekeeping

    def _absorb(self, txn: Any, draft: SegmentDraft, but: Container[int] = ()) -> list[int]:
        """Move small segments into `draft` while they are less than twice as long; return their numbers.

        Like a binary counter: n adds of one object leave about log2(n) small segments and move each object as often.
        """
        small = sorted(
            (info.live_bytes, number)
            for number, info in self.segments.items()
            if info.live_bytes < self.header.segment_bytes and number not in but
        )
        absorbed = []
        for n_bytes, number in small:
            if draft.n_bytes >= self.header.segment_bytes or n_bytes >= 2 * draft.n_bytes:
                break
            self._move_live(txn, number, draft)
            absorbed.append(number)
        return absorbed

    def _move_live(self, txn: Any, number: int, draft: SegmentDraft) -> None:
        """Append the live records of a segment to `draft`, bytes and checksums as they are."""
        environment, info = self._environment, self.segments[number]
        value = txn.get(segment_key(number), db=environment.segments)
        records = None
        if value is not None and len(value) >= info.used_bytes:
            memory = np.frombuffer(value, dtype=np.uint8)[: info.used_bytes]
            records = scan_segment(memory, 0, info, self._codec.tag)
        if records is None:
            raise CorruptedError(f"{environment.path}: segment {number} is damaged; restore the file from a copy")
        ids, offsets, lengths = records
        nowhere = b"\xff" * ENTRY.itemsize
        found = b"".join([txn.get(key, nowhere) for key in id_keys(ids)])
        entries = np.frombuffer(found, dtype=ENTRY)
        live = (entries["segment"] == number) & (entries["offset"] == offsets)
        ids, offsets, lengths = ids[live], offsets[live], lengths[live]
        sizes = record_bytes(lengths)
        block = gather(memory, offsets - RECORD_HEADER_BYTES, sizes)
        draft.append(block, ids, np.cumsum(sizes) - sizes + RECORD_HEADER_BYTES, lengths, moved=True)

    def remove(self, ids: Any) -> None:
        """See ObjectStore.remove."""
        environment = self._environment
        ids = np.sort(check_ids(ids, "ids"))
        if not len(ids):
            return
        infos: dict[int, SegmentInfo | None] = {}
        with environment.read() as state:
            entries = lookup(state, ids, environment)
        with self._transaction() as txn:
            for key in id_keys(ids):
                txn.delete(key, db=environment.directory)
            lengths = entries["length"].astype(np.int64)
            numbers, rows = np.unique(entries["segment"], return_inverse=True)
            n_gone = np.bincount(rows)
            bytes_gone = np.bincount(rows, weights=record_bytes(lengths)).astype(np.int64)
            for number, n, n_bytes in zip(numbers.tolist(), n_gone.tolist(), bytes_gone.tolist(), strict=True):
                info = self.segments[number]
                left = info._replace(n_live=info.n_live - n, live_bytes=info.live_bytes - n_bytes)
                infos[number] = left if left.n_live else None
            header = replace(
                self.header,
                n_objects=self.header.n_objects - len(ids),
                payload_bytes=self.header.payload_bytes - int(lengths.sum()),
                version=self.header.version + 1,
            )
            self._put_header(txn, header, infos)
        self._committed(header, infos)
        with suppress(StorageError):  # the removal is done; where no room is left for this, the next one tries again
            while self._compact():
                pass

    def _compact(self) -> bool:
        """Rewrite some mostly dead segments in one transaction; False when there are none."""
        victims = [
            number for number, info in self.segments.items() if info.live_bytes < (1 - _MOST_DEAD) * info.used_bytes
        ]
        if not victims:
            return False
        infos: dict[int, SegmentInfo | None] = {}
        draft, number = SegmentDraft(), self.header.next_segment
        with self._transaction() as txn:
            for victim in sorted(victims):
                self._move_live(txn, victim, draft)
                infos[victim] = None
                if draft.n_bytes >= self.header.segment_bytes:
                    break
            infos.update(dict.fromkeys(self._absorb(txn, draft, victims)))
            header = replace(self.header, next_segment=number + 1)
            infos[number] = self._write_segment(txn, draft, number)
            self._put_entries(txn, *draft.moved.sorted(), new=False)
            self._put_header(txn, header, infos)
        self._committed(header, infos)
        return True
