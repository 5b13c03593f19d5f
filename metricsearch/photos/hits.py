"""What a search among photos returns."""

from dataclasses import dataclass
from typing import Literal

from metricsearch.errors import InvalidInputError
from metricsearch.features.photo import Photo

Kind = Literal["same photo", "same object", "similar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoHit:
    """One photo of an answer.

    rank: 1 is the best. kind: "same photo": a file of the same bytes as the query; "same object": something in both
    photos was verified by geometry; "similar": by the distance of the global feature alone. path: of the photo, as an
    absolute path; other_paths: of files with the same bytes. distance: of the global feature, in units of its metric.
    n_inliers: local features that agree with one transform between both photos; 0: none was found, or not looked for.
    sha256: of the photo's bytes when it was indexed.
    """

    rank: int
    kind: Kind
    path: str
    other_paths: tuple[str, ...]
    distance: float
    n_inliers: int
    sha256: str

    def photo(self) -> Photo:
        """The photo, read from `path`. Raises MissingDataError, InvalidInputError (its file holds other bytes now)."""
        photo = Photo.read(self.path)
        if photo.sha256 != self.sha256:
            raise InvalidInputError(f"{self.path}: changed since it was indexed")
        return photo
