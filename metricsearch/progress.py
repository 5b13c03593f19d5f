"""Progress bars on stderr, only where that is a terminal."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

Piece = TypeVar("Piece", bound=Sized)


def counted(pieces: Iterable[Piece], description: str, whole: Any, shown: bool) -> Iterator[Piece]:
    """The pieces of `whole`, while a bar counts their objects, if `shown`; its end is known if `whole` has a length."""
    total = len(whole) if isinstance(whole, Sized) else None
    with tqdm(total=total, desc=description, unit=" objects", unit_scale=True, disable=None if shown else True) as bar:
        for piece in pieces:
            yield piece
            bar.update(len(piece))
