"""`metricsearch index`, and what search, info and verify do with a collection of photos."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from metricsearch.photos import PhotoHit


_N_CHECKED = 100  # best photos that are looked at again, whether they are still what was indexed


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path())
@click.argument("path", type=click.Path())
@click.option("--feature", help="What photos are compared by; default: pool5-unit if its model is here, else classic.")
@click.option("--words/--no-words", default=None, help="Find the same objects too, by local features. Default: yes.")
@click.option("--drop-missing", is_flag=True, help="Take out photos that are not given now.")
@click.option("--threads", "n_threads", type=int, help="Default: all cores.")
def index(
    photos: tuple[str, ...],
    path: str,
    feature: str | None,
    words: bool | None,
    drop_missing: bool,
    n_threads: int | None,
) -> int:
    """Make PHOTOS (folders, files, .txt lists) searchable, as the collection PATH.

    Run it again to bring the collection up to date: only new and changed photos are looked at. After a stop, the same
    command goes on. Photos that cannot be read are listed on stderr; exit status 1 if that is all of them.

    \b
    Example:
      metricsearch index photos/ photos.ms
      metricsearch search photos.ms --image query.jpg --show
    """
    from metricsearch.photos import PhotoCollection

    report = PhotoCollection.create_or_update(
        path,
        photos,
        feature=feature,
        words=words,
        drop_missing=drop_missing,
        n_threads=n_threads,
        progress=True,
    )
    done = report.extraction
    for photo, reason in done.failures:
        click.echo(f"{_shown(photo)}: {reason}", err=True)
    dropped = f", {done.n_dropped:,} dropped" if done.n_dropped else ""
    failed = f", {len(done.failures):,} not readable" if done.failures else ""
    click.echo(f"{done.n_new:,} new, {done.n_kept:,} kept{dropped}{failed}, {report.seconds:.1f} s", err=True)
    with PhotoCollection.open(path) as collection:
        click.echo(f"{path}: {_summary(collection.info())}")
        if feature is None and collection.feature == "classic":
            click.echo(
                "no CNN model here (see METRICSEARCH_MODELS): photos are compared by colour and texture", err=True
            )
    if not done.n_photos:
        return 1
    click.echo(f"search it with: metricsearch search {shlex.quote(path)} --image PHOTO --show", err=True)
    return 0


def search_photos(path: str, images: Sequence[str], k: int, show: str | None) -> int:
    """`metricsearch search PATH --image ...`: a table of hits for each image, and a contact sheet with `show`.

    show: None: no sheet; "": IMAGE-hits.jpg in the current folder; else the name of the sheet.
    """
    from metricsearch.features.images import quiet_decoders
    from metricsearch.features.photo import Photo
    from metricsearch.photos import PhotoCollection, check_sheet, draw_contact_sheet
    from metricsearch.photos.contact_sheet import MAX_HITS

    stale: str | None = None  # the first that was found and is not there any more
    sheets = [None] * len(images) if show is None else _sheet_names(images, show)
    for sheet in sheets:
        if sheet is not None:
            check_sheet(sheet)
    with PhotoCollection.open(path) as collection, quiet_decoders():
        for image in images:  # all, before the first answer
            Photo.read(image)
        for number, (image, sheet) in enumerate(zip(images, sheets, strict=True)):
            hits = collection.search(image, k)
            if number:
                click.echo()
            found = f"{len(hits):,} best of {len(collection):,} photos in {path}, distance by {collection.feature}"
            click.echo(f"{_shown(image)}: {found}")
            for line in _table(hits):
                click.echo(line)
            if sheet is not None:
                draw_contact_sheet(image, hits, sheet)
                first = f" (the first {MAX_HITS})" if len(hits) > MAX_HITS else ""
                click.echo(f"contact sheet: {sheet}{first}")
            stale = stale or next((hit.path for hit in hits[:_N_CHECKED] if not _is_as_indexed(hit)), None)
    if stale is not None:
        click.echo(
            f"{_shown(stale)}: gone or changed since it was indexed; bring the collection up to date: "
            f"metricsearch index PHOTOS... {path}",
            err=True,
        )
    return 0


def show_info(path: str) -> int:
    """`metricsearch info PATH`, as JSON."""
    from metricsearch.photos import PhotoCollection

    with PhotoCollection.open(path) as collection:
        click.echo(json.dumps(collection.info(), indent=2))
    return 0


def verify_photos(path: str) -> int:
    """`metricsearch verify PATH`; 1 if anything is damaged or indexing was not finished."""
    from metricsearch.photos import PhotoCollection

    with PhotoCollection.open(path) as collection:
        problems = collection.verify()
    for line in problems or [f"{path}: fine"]:
        click.echo(line)
    return int(bool(problems))


def _sheet_names(images: Sequence[str], show: str) -> list[str]:
    """One name per image, all different."""
    from metricsearch.features.images import SHEET_SUFFIX

    names: list[str] = []
    for image in images:
        wanted = Path(show) if show else Path(f"{Path(image).stem}{SHEET_SUFFIX}.jpg")
        name, number = str(wanted), 1
        while name in names:
            number += 1
            name = str(wanted.with_stem(f"{wanted.stem}-{number}"))
        names.append(name)
    return names


def _is_as_indexed(hit: "PhotoHit") -> bool:
    from metricsearch.errors import MetricSearchError

    try:
        hit.photo()
    except MetricSearchError:
        return False
    return True


def _table(hits: Sequence["PhotoHit"]) -> Iterator[str]:
    """Lines of a table; the path is last, since it may hold anything."""
    yield f"{'rank':>4}  {'kind':11}  {'inliers':>7}  {'distance':>9}  photo"
    for hit in hits:
        inliers = f"{hit.n_inliers:,}" if hit.n_inliers else "-"
        yield f"{hit.rank:4}  {hit.kind:11}  {inliers:>7}  {hit.distance:#9.4g}  {_shown(hit.path)}"
        for path in hit.other_paths:
            yield f"{'':4}  {'same file':11}  {'':7}  {'':9}  {_shown(path)}"


def _summary(told: dict[str, Any]) -> str:
    """What a collection holds, in one line."""
    n, n_different = told["n_photos"], told["n_different_photos"]
    copies = f" ({n_different:,} different)" if n_different != n else ""
    feature, words = told["feature"], told["words"]
    parts = [f"{n:,} photos{copies}", f"compared by {feature['name']} ({feature['dimension']}-D)"]
    if words is not None:
        vocabulary = f"a vocabulary of {words['vocabulary']:,} words" if words["vocabulary"] else "too few for words"
        parts.append(f"{words['n_features']:,} local features, {vocabulary}")
    parts.append(f"{sum(told['disk_bytes'].values()) / 1e6:,.1f} MB")
    return "; ".join(parts)


def _shown(path: str) -> str:
    """A path as it is shortest to read and still valid here: below the current folder without that."""
    name = os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
    return os.fsencode(name).decode(errors="replace")
