"""Segments that are being filled."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metricsearch.store.codec import Bytes, Integers
from metricsearch.store.segments import ENTRY, SegmentInfo


@dataclass(slots=True)
class Entries:
    """IDs and where they lie: arrays that await the transaction that publishes them."""

    ids: list[Integers] = field(default_factory=list)
    entries: list[NDArray[np.void]] = field(default_factory=list)

    def extend(self, other: "Entries") -> None:
        """Append those of `other`."""
        self.ids += other.ids
        self.entries += other.entries

    def sorted(self) -> tuple[Integers, NDArray[np.void]]:
        """All of them by ascending ID: (n,) int64 and (n,) ENTRY."""
        if not self.ids:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=ENTRY)
        ids = np.concatenate(self.ids)
        order = np.argsort(ids, kind="stable")
        return ids[order], np.concatenate(self.entries)[order]


@dataclass(slots=True)
class SegmentDraft:
    """Blocks of records that will be one segment."""

    blocks: list[Bytes] = field(default_factory=list)
    added: Entries = field(default_factory=Entries)  # objects that are new to the store
    moved: Entries = field(default_factory=Entries)  # objects taken over from other segments
    n_records: int = 0
    n_bytes: int = 0

    def append(self, block: Bytes, ids: Integers, offsets: Integers, lengths: Integers, *, moved: bool = False) -> None:
        """Add packed records; `offsets` of their payloads in `block`. Their segment number is filled in later."""
        entries = np.zeros(len(ids), dtype=ENTRY)
        entries["offset"], entries["length"] = offsets + self.n_bytes, lengths
        target = self.moved if moved else self.added
        target.ids.append(ids)
        target.entries.append(entries)
        self.blocks.append(block)
        self.n_records += len(ids)
        self.n_bytes += len(block)

    def number(self, segment: int) -> None:
        """Fill in the number of this segment."""
        for entries in self.added.entries + self.moved.entries:
            entries["segment"] = segment

    def value(self, min_bytes: int) -> bytes:
        """The segment, with zeros up to `min_bytes`: LMDB would keep a shorter value in a tree page, unaligned."""
        return b"".join([block.tobytes() for block in self.blocks]).ljust(min_bytes, b"\0")

    @property
    def info(self) -> SegmentInfo:
        """Counts while all its records are live."""
        return SegmentInfo(self.n_records, self.n_records, self.n_bytes, self.n_bytes)
