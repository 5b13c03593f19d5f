"""What `bad_input.py` asks of an index; every one is used as its own users would.

Nothing is imported before it is needed: a probe runs in the environment of its library.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

WIDTH = 16
MANY = 1000  # more than there are objects


class Subject(ABC):
    """One index over 16-D vectors, euclidean."""

    def __init__(self, index: Any) -> None:
        self.index = index

    @classmethod
    @abstractmethod
    def build(cls, objects: Any, folder: Path) -> "Subject":
        """Index `objects`; `folder` is empty, for those that live in files."""

    @abstractmethod
    def search(self, queries: Any, k: int) -> Any:
        """For every query the ids of the k nearest, as the library gives them."""


class SavedSubject(Subject):
    """One that can be kept in files."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the index, if it does not live in `folder` already."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Subject:
        """The index that was saved in `folder`."""
