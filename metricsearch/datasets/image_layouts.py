"""Folder layouts of image-retrieval sets: which photos are the database, which are queries, and what is right."""

import csv
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricsearch.datasets.files import require_file
from metricsearch.errors import InvalidInputError, MissingDataError

_IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".bmp", ".webp"})
_DAMAGED_PARIS = (  # robots.ox.ac.uk/~vgg/data/parisbuildings/corrupt.txt: no photos, but pages of an error
    "louvre_000136",
    "louvre_000146",
    "moulinrouge_000422",
    "museedorsay_001059",
    "notredame_000188",
    "pantheon_000284",
    "pantheon_000960",
    "pantheon_000974",
    "pompidou_000195",
    "pompidou_000196",
    "pompidou_000201",
    "pompidou_000467",
    "pompidou_000640",
    "sacrecoeur_000299",
    "sacrecoeur_000330",
    "sacrecoeur_000353",
    "triomphe_000662",
    "triomphe_000833",
    "triomphe_000863",
    "triomphe_000867",
)
_DAMAGED = frozenset(f"paris_{name}" for name in _DAMAGED_PARIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """A query photo and its ground truth; numbers are rows of the database (`ImageSet.images`).

    Images that are neither relevant nor junk are wrong. The query's own image is in `relevant` only where the
    protocol counts it (Oxford, Paris: the published lists hold it).
    """

    path: Path
    relevant: frozenset[int]
    group: str  # label of the object or scene; queries of one object share it
    index: int | None = None  # row of the query photo itself; None: it is not in the database
    junk: frozenset[int] = frozenset()  # ignored: neither right nor wrong
    easy: frozenset[int] = frozenset()  # revisited sets only: `relevant` = easy and hard together
    hard: frozenset[int] = frozenset()
    box: tuple[float, float, float, float] | None = None  # x0, y0, x1, y1 in pixels: search with this part of the photo


@dataclass(frozen=True, slots=True)
class Content:
    """What a layout reader finds: files by name (the path below the folder, with slashes), and the queries."""

    images: dict[str, Path]
    queries: list[ImageQuery]


def read_folder(folder: Path) -> Content:
    """All photos in `folder` and below, by name; no queries. For distractors."""
    return Content(_photos(folder), [])


def read_references(folder: Path) -> Content:
    """`ground_truth.csv` (query,reference): the references are the database, the queries are not in it."""
    path = folder / "ground_truth.csv"
    pairs = _csv_pairs(path, ("query", "reference"))
    images = {name: folder / name for name in sorted({reference for _, reference in pairs})}
    rows = {name: row for row, name in enumerate(images)}
    queries = [
        ImageQuery(path=folder / query, relevant=frozenset({rows[reference]}), group=Path(reference).stem)
        for query, reference in pairs
    ]
    return Content(images, queries)


def read_group_table(folder: Path) -> Content:
    """`groups.csv` (image,group): every image of a group of two or more is a query for the others."""
    pairs = _csv_pairs(folder / "groups.csv", ("image", "group"))
    return _grouped({name: folder / name for name, _ in pairs}, dict(pairs))


def read_numbered_groups(folder: Path) -> Content:
    """UKBench: `ukbench00000.jpg` and on, without gaps; four in a row show one object. All are queries."""
    images = {path.name: path for path in sorted(folder_with(folder, "ukbench00000.jpg").glob("ukbench[0-9]*.jpg"))}
    for number, name in enumerate(images):
        if name != f"ukbench{number:05d}.jpg":
            raise MissingDataError(f"{folder}: expected ukbench{number:05d}.jpg, found {name}; copy the missing photos")
    return _grouped(images, {name: str(number // 4) for number, name in enumerate(images)})


def read_holidays(folder: Path) -> Content:
    """INRIA Holidays: photo 100 g + i is the i-th of group g; the first of a group (i = 0) is its query."""
    images = {path.name: path for path in sorted(_photos(folder).values(), key=lambda path: path.name)}
    numbers = [_number(path) for path in images.values()]
    members: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(numbers):
        members[number // 100].append(row)
    queries = [
        ImageQuery(
            path=path,
            relevant=frozenset(members[number // 100]) - {row},
            group=str(number // 100),
            index=row,
        )
        for row, (number, path) in enumerate(zip(numbers, images.values(), strict=True))
        if number % 100 == 0
    ]
    return Content(images, queries)


def read_smvs(folder: Path) -> Content:
    """Stanford Mobile Visual Search: `Reference` is the database, the folders beside it hold queries of equal names."""
    root = folder_with(folder, "Reference")
    images = _photos(root / "Reference")
    rows = {Path(name).stem: row for row, name in enumerate(images)}
    queries = []
    for camera in sorted(path for path in root.iterdir() if path.is_dir() and path.name != "Reference"):
        for path in _photos(camera).values():
            if path.stem not in rows:
                raise MissingDataError(f"{path}: no photo {path.stem} in {root / 'Reference'}; copy the missing photos")
            queries.append(ImageQuery(path=path, relevant=frozenset({rows[path.stem]}), group=path.stem))
    return Content(images, queries)


def read_oxford(folder: Path) -> Content:
    """Oxford5k, Paris6k: photos anywhere below; `X_query.txt`, `X_good.txt`, `X_ok.txt`, `X_junk.txt` in one folder.

    A query file holds the photo's name (in Oxford with `oxc1_` in front) and the box x0 y0 x1 y1. Good and ok images
    are relevant, the query's own among them: the protocol counts it. Paris' 20 damaged photos are left out everywhere.
    """
    photos = {stem: path for stem, path in _by_stem(folder).items() if stem not in _DAMAGED}
    paths, rows = list(photos.values()), {stem: row for row, stem in enumerate(photos)}
    queries = []
    for path in sorted(folder.rglob("*_query.txt")):
        name = path.name.removesuffix("_query.txt")
        query = path.read_text(encoding="utf-8").split()
        if len(query) != 5:
            raise InvalidInputError(f"{path}: expected a photo's name and four numbers, got {' '.join(query)!r}")
        index = _row(rows, query[0].removeprefix("oxc1_"), path)
        good, ok, junk = (_rows_of_list(rows, path.with_name(f"{name}_{kind}.txt")) for kind in ("good", "ok", "junk"))
        queries.append(
            ImageQuery(
                path=paths[index],
                relevant=good | ok,
                group=name.rstrip("0123456789").rstrip("_"),
                index=index,
                junk=junk,
                box=_box(query[1:], str(path)),
            )
        )
    if not queries:
        raise MissingDataError(f"{folder}: no *_query.txt in it or below; unpack the ground truth there too")
    return Content({path.name: path for path in paths}, queries)


def read_revisited(folder: Path) -> Content:
    """ROxford5k, RParis6k: `gnd_roxford5k.json` or `gnd_rparis6k.json`, photos of the original set anywhere below.

    The file has imlist (names of the database's photos), qimlist (of the queries, which are not in the database) and,
    per query, gnd: {bbx, easy, hard, junk}. It names no objects: queries that share a relevant image show one.
    """
    found = sorted(folder.glob("gnd_*.json"))
    if len(found) != 1:
        raise MissingDataError(
            f"{folder}: expected one gnd_*.json, found {len(found)}; "
            "data/README.md says how to make it from the published file"
        )
    names, query_names, truths, boxes = _read_revisited_truth(found[0])
    photos = _by_stem(folder)
    if absent := sorted({*names, *query_names} - photos.keys()):
        raise MissingDataError(f"{found[0]}: {absent[0]} and {len(absent) - 1} other photos are not below {folder}")
    queries = [
        ImageQuery(
            path=photos[name],
            relevant=truth["easy"] | truth["hard"],
            group=query_names[first],
            junk=truth["junk"],
            easy=truth["easy"],
            hard=truth["hard"],
            box=box,
        )
        for name, truth, box, first in zip(query_names, truths, boxes, _first_of_object(truths), strict=True)
    ]
    return Content({photos[name].name: photos[name] for name in names}, queries)


_Box = tuple[float, float, float, float]


def _read_revisited_truth(path: Path) -> tuple[list[str], list[str], list[dict[str, frozenset[int]]], list[_Box]]:
    """(names of the database, of the queries, their easy, hard and junk rows, their boxes)."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        names, query_names = [str(name) for name in table["imlist"]], [str(name) for name in table["qimlist"]]
        truths = [
            {kind: frozenset(map(int, truth[kind])) for kind in ("easy", "hard", "junk")} for truth in table["gnd"]
        ]
        boxes = [_box(truth["bbx"], str(path)) for truth in table["gnd"]]
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError):
        raise InvalidInputError(
            f"{path}: expected imlist, qimlist and, per query, gnd with bbx, easy, hard and junk; make it again"
        ) from None
    rows = {row for truth in truths for kind in truth.values() for row in kind}
    if len(truths) != len(query_names) or (rows and not 0 <= min(rows) <= max(rows) < len(names)):
        raise InvalidInputError(
            f"{path}: {len(truths)} entries of gnd for {len(query_names)} queries and {len(names)} photos do not fit "
            "together; make it again"
        )
    return names, query_names, truths, boxes


def _first_of_object(truths: list[dict[str, frozenset[int]]]) -> list[int]:
    """For each query the first one of its object; sharing an image joins two queries, also by way of others."""
    first = list(range(len(truths)))
    seen_in: dict[int, int] = {}  # row: a query that it is relevant to
    for query, truth in enumerate(truths):
        for row in truth["easy"] | truth["hard"]:
            ours, theirs = first[query], first[seen_in.setdefault(row, query)]
            first = [min(ours, theirs) if number in (ours, theirs) else number for number in first]
    return first


def _grouped(images: dict[str, Path], group_of: Mapping[str, str]) -> Content:
    members: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(images):
        members[group_of[name]].append(row)
    queries = [
        ImageQuery(
            path=path,
            relevant=frozenset(members[group_of[name]]) - {row},
            group=group_of[name],
            index=row,
        )
        for row, (name, path) in enumerate(images.items())
        if len(members[group_of[name]]) > 1
    ]
    return Content(images, queries)


def folder_with(folder: Path, name: str) -> Path:
    """The folder that has an entry `name`: `folder`, or the first one below it. Raises MissingDataError."""
    if (folder / name).exists():
        return folder
    found = sorted(folder.rglob(name), key=lambda path: (len(path.parts), path))
    if not found:
        raise MissingDataError(f"{folder}: no {name} in it or below; unpack the data set there")
    return found[0].parent


def _by_stem(folder: Path) -> dict[str, Path]:
    """Photos in `folder` and below by name without ending, in that order; each name once."""
    photos: dict[str, Path] = {}
    for path in _photos(folder).values():
        if path.stem in photos:
            raise InvalidInputError(f"{path}: {photos[path.stem]} has the same name; delete one of the two")
        photos[path.stem] = path
    return dict(sorted(photos.items()))


def _row(rows: Mapping[str, int], name: str, source: Path) -> int:
    if name not in rows:
        raise MissingDataError(f"{source}: names {name}, which is not among the photos; copy the missing photos")
    return rows[name]


def _rows_of_list(rows: Mapping[str, int], path: Path) -> frozenset[int]:
    names = require_file(path).read_text(encoding="utf-8").split()
    return frozenset(_row(rows, name, path) for name in names if name not in _DAMAGED)


def _box(values: Sequence[Any], where: str) -> _Box:
    try:
        x0, y0, x1, y1 = map(float, values)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{where}: expected a box of four numbers, got {values!r}") from None
    return x0, y0, x1, y1


def _number(path: Path) -> int:
    if not (path.stem.isascii() and path.stem.isdigit()):
        raise InvalidInputError(f"{path}: expected photos named by a number, like 100000.jpg; keep others elsewhere")
    return int(path.stem)


def _photos(folder: Path) -> dict[str, Path]:
    """Photos in `folder` and below, in the order of their names. Raises MissingDataError for a folder without any."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if _is_photo(name)]
    if not found:
        raise MissingDataError(
            f"{folder}: no photos in it; expected files ending in {', '.join(sorted(_IMAGE_ENDINGS))}"
        )
    return {path.relative_to(folder).as_posix(): path for path in sorted(found, key=lambda path: path.as_posix())}


def _is_photo(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in _IMAGE_ENDINGS


def _csv_pairs(path: Path, header: tuple[str, str]) -> list[tuple[str, str]]:
    """Rows of a CSV of two columns; first cells differ. Raises MissingDataError, InvalidInputError (with the line)."""
    with require_file(path).open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        pairs: dict[str, str] = {}
        for row in reader:
            where = f"{path}: line {reader.line_num}"
            if reader.line_num == 1:
                if tuple(row) != header:
                    raise InvalidInputError(f"{where}: expected the header {','.join(header)}, got {','.join(row)!r}")
            elif len(row) != 2 or not all(row):
                raise InvalidInputError(f"{where}: expected {' and '.join(header)}, got {','.join(row)!r}")
            elif row[0] in pairs:
                raise InvalidInputError(f"{where}: {row[0]} is listed twice; remove one of the two lines")
            else:
                pairs[row[0]] = row[1]
    if not pairs:
        raise InvalidInputError(f"{path}: no rows below the header")
    return list(pairs.items())


def missing_files(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that are no files."""
    return [path for path in paths if not path.is_file()]


LAYOUTS: dict[str, Callable[[Path], Content]] = {
    "folder": read_folder,
    "references": read_references,
    "group-table": read_group_table,
    "numbered-groups": read_numbered_groups,
    "holidays": read_holidays,
    "smvs": read_smvs,
    "oxford": read_oxford,
    "revisited": read_revisited,
}
