"""Which parts of a feature map, or of a photo, are looked at on their own: the regions of R-MAC, the patches of MOP."""

from fractions import Fraction
from typing import NamedTuple

_OVERLAP = Fraction(2, 5)  # wanted between neighbouring squares along the longer side
_MOST_EXTRA = 6


class Region(NamedTuple):
    """A square: its first row, its first column, its side."""

    top: int
    left: int
    side: int


def rmac_regions(height: int, width: int, n_scales: int = 3) -> list[Region]:
    """Regions of R-MAC in a map of height x width cells; scale by scale, row by row.

    With w the shorter side, those of scale l = 1..n_scales have side 2w // (l + 1); l of them lie evenly spaced along
    the shorter side, l + m along the longer one. m (1..6, 0 for a square map) is the number for which neighbouring
    squares of side w overlap closest to 40 %, the smaller of two equally close. Scales without a cell are left out.
    Tolias, Sicre and Jegou 2016 (section 3.2), with the numbers of cirtorch (`layers.functional.rmac`).
    """
    short = min(height, width)
    extra = _extra_regions(short, max(height, width))
    regions = []
    for scale in range(1, n_scales + 1):
        side = 2 * short // (scale + 1)
        if side:
            tops = _evenly_spaced(height - side, scale + (extra if height > width else 0))
            lefts = _evenly_spaced(width - side, scale + (extra if width > height else 0))
            regions += [Region(top, left, side) for top in tops for left in lefts]
    return regions


def _extra_regions(short: int, long: int) -> int:
    """m of `rmac_regions`; exact, since two numbers may be equally good (5 x 9 cells)."""
    if short == long:
        return 0
    return min(range(1, _MOST_EXTRA + 1), key=lambda m: abs(1 - Fraction(long - short, m * short) - _OVERLAP))


def _evenly_spaced(last: int, n: int) -> list[int]:
    """n whole numbers from 0 to `last`, each rounded down; 0 where n is 1."""
    return [i * last // (n - 1) for i in range(n)] if n > 1 else [0]


def patches(height: int, width: int, side: int, stride: int) -> list[Region]:
    """Squares of `side` pixels every `stride` pixels that lie wholly in height x width pixels, row by row."""
    tops, lefts = range(0, height - side + 1, stride), range(0, width - side + 1, stride)
    return [Region(top, left, side) for top in tops for left in lefts]
