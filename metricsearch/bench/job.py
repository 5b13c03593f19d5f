"""What the controller tells a worker at its start."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a worker is started for. Paths as texts: data and work are folders, suite that of the suite file."""

    method: dict[str, Any]
    suite: str
    data: str
    work: str
    store: str | None
    k: int
    threads: int
    build_threads: int
    batch: bool
