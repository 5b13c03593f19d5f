"""Commands on collections: create, add, build, learn-cutoff, search, remove, info, verify."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import OpenedObjects

CANDIDATES = 1000
TARGET_RECALL = 0.9
OBJECTS_HELP = "OBJECTS is dataset:NAME or a file: .npy .fvecs .bvecs .h5[:key] .csv .dic/.txt (words) .sig .profiset."


def _number_or_auto(context: click.Context, option: click.Parameter, value: str | None) -> int | str | None:
    """What was given for the number of candidates."""
    try:
        return value if value in (None, "auto") else int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a whole number nor 'auto'", context, option) from None


def _holds_photos(path: str) -> bool:
    from metricsearch.photos import is_photo_collection

    return is_photo_collection(path)


def _refuse_photos(path: str) -> None:
    from metricsearch.errors import InvalidInputError

    if _holds_photos(path):
        raise InvalidInputError(
            f"{path}: a photo collection; photos are added and taken out by: metricsearch index PHOTOS {path}"
        )


@contextmanager
def _removed_on_error(path: str) -> Iterator[None]:
    """After an error leave no half-made collection in the way of the next try; one that was there before stays."""
    existed = os.path.lexists(path)
    try:
        yield
    except Exception:
        if not existed:
            shutil.rmtree(path, ignore_errors=True)
        raise


@contextmanager
def _naming(objects: str) -> Iterator[None]:
    """What is wrong with objects is told with the name that the user gave for them."""
    from metricsearch.errors import InvalidInputError

    try:
        yield
    except InvalidInputError as error:
        text = str(error)
        raise InvalidInputError(text if text.startswith(f"{objects}:") else f"{objects}: {text}") from None


def _usual_metric(names: tuple[str, ...], parts: list["OpenedObjects"]) -> str | dict[str, Any]:
    """The metric that those of `parts` have that have one."""
    from metricsearch.errors import InvalidInputError

    found = [(name, opened.metric) for name, opened in zip(names, parts, strict=True) if opened.metric is not None]
    for name, metric in found:
        if metric != found[0][1]:
            raise InvalidInputError(
                f"{name}: its usual metric is {metric}, that of {found[0][0]} is {found[0][1]}; make a collection of "
                "each, or choose with --metric"
            )
    return found[0][1] if found else "euclidean"


@click.command(epilog=OBJECTS_HELP)
@click.argument("path", type=click.Path())
@click.argument("objects", nargs=-1, required=True)
@click.option("--metric", help="Metric; default: that of the data set or kind of file (numbers: euclidean).")
@click.option("--codec", help="How objects are stored; default: lossless for their kind.")
@click.option("--spaces", "n_spaces", default=4, show_default=True, help="Pivot spaces (lambda).")
@click.option("--pivots", "n_pivots", default=256, show_default=True, help="Pivots per space (k).")
@click.option("--prefix", "prefix_length", default=8, show_default=True, help="Prefix length (l).")
@click.option(
    "--pivot-choice",
    default="random",
    show_default=True,
    help="random, farthest-first, k-means, incremental, balanced.",
)
@click.option(
    "--sketch",
    help="Sketches that say what to read first: product, landmark, simplex, whitened, hyperplane; default: none.",
)
@click.option("--sketch-bytes", default=32, show_default=True, help="Memory per object for them.")
@click.option("--pivot-file", help="Take the pivots from this file (OBJECTS notation).")
@click.option("--seed", default=0, show_default=True, help="Seed of the pivot choice.")
def create(
    path: str,
    objects: tuple[str, ...],
    metric: str | None,
    codec: str | None,
    n_spaces: int,
    n_pivots: int,
    prefix_length: int,
    pivot_choice: str,
    sketch: str | None,
    sketch_bytes: int,
    pivot_file: str | None,
    seed: int,
) -> None:
    """Make a collection of all OBJECTS in the new directory PATH and build its index.

    Files of features are taken together only if they were made in the same way.

    \b
    Example:
      metricsearch create words.ms dataset:english-words --pivots 128
      metricsearch create photos.ms holidays.h5:pool5 family.h5:pool5
    """
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import open_objects
    from metricsearch.ppp import PPPCodes
    from metricsearch.provenance import check_same_provenance

    parts = [open_objects(text) for text in objects]
    for name, opened in zip(objects, parts, strict=True):
        check_same_provenance(name, opened.provenance, objects[0], parts[0].provenance)
    pivots = None if pivot_file is None else open_objects(pivot_file).load()
    index = PPPCodes(
        metric or _usual_metric(objects, parts),
        n_spaces=n_spaces,
        n_pivots=n_pivots,
        prefix_length=prefix_length,
        pivot_choice=pivot_choice,
        sketch=sketch,
        sketch_bytes=sketch_bytes,
        seed=seed,
    )
    with _removed_on_error(path), Collection.create(path, index=index, codec=codec) as collection:
        for name, opened in zip(objects, parts, strict=True):
            with _naming(name):
                collection.add(opened.objects, opened.ids, opened.provenance, progress=True)
        collection.build_index(pivots=pivots, progress=True)
        told = collection.info()
        in_memory = f"{told['index_memory_bytes']:,} bytes of index in memory"
        click.echo(f"{path}: {told['count']:,} objects stored as {told['codec']}, {in_memory}")


@click.command(epilog=OBJECTS_HELP)
@click.argument("path", type=click.Path())
@click.argument("objects")
def add(path: str, objects: str) -> None:
    """Add OBJECTS to a collection; an up-to-date index is extended.

    \b
    Example:
      metricsearch add words.ms new-words.txt
    """
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import open_objects

    _refuse_photos(path)
    opened = open_objects(objects)
    with Collection.open(path) as collection, _naming(objects):
        added = collection.add(opened.objects, opened.ids, opened.provenance, progress=True)
        click.echo(f"{path}: added {len(added):,} objects, {len(collection):,} in all")


@click.command()
@click.argument("path", type=click.Path())
def build(path: str) -> None:
    """Build the index of a collection anew.

    \b
    Example:
      metricsearch build words.ms
    """
    from metricsearch.collection import Collection

    _refuse_photos(path)
    with Collection.open(path) as collection:
        collection.build_index(progress=True)
        click.echo(f"{path}: {len(collection):,} objects, {collection.index.memory_bytes:,} bytes of index in memory")


@click.command("learn-cutoff", epilog=OBJECTS_HELP.replace("OBJECTS", "QUERIES"))
@click.argument("path", type=click.Path())
@click.argument("queries", required=False)
@click.option("--seed", default=0, show_default=True, help="Seed of the choice of objects.")
def learn_cutoff(path: str, queries: str | None, seed: int) -> None:
    """Learn when searches of a collection with sketches may stop reading: see search --candidates auto.

    QUERIES are like those to come; without any, 512 objects of the collection are taken. What was learnt is kept until
    the index is built anew; after many changes learn again.

    \b
    Example:
      metricsearch learn-cutoff words.ms
    """
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import open_objects

    _refuse_photos(path)
    batch = None
    with Collection.open(path) as collection:
        if queries is not None:
            opened = open_objects(queries)
            _check_made_alike(queries, opened, path, collection)
            batch = opened.load()
        record = collection.learn_cutoff(batch, seed=seed)
        click.echo(f"{path}: learnt from {record.n_queries:,} queries, of {record.depth:,} candidates each")


@click.command(epilog=OBJECTS_HELP.replace("OBJECTS", "QUERIES"))
@click.argument("path", type=click.Path())
@click.argument("queries", required=False)
@click.option("--image", "images", multiple=True, type=click.Path(), help="Photo to search a photo collection by.")
@click.option(
    "--show",
    is_flag=False,
    flag_value="",
    metavar="[SHEET]",
    help="Also draw the query and its hits on one sheet; default: IMAGE-hits.jpg here.",
)
@click.option("-k", default=10, show_default=True, help="Neighbours per query.")
@click.option(
    "--candidates",
    callback=_number_or_auto,
    metavar="R|auto",
    help=f"Objects read per query, auto: as many as it takes (see: metricsearch learn-cutoff); default: {CANDIDATES}. "
    "Not for photos.",
)
@click.option(
    "--target-recall",
    type=float,
    help=f"Share of the nearest to find on average, with --candidates auto; default: {TARGET_RECALL}.",
)
@click.option("--stats/--no-stats", default=True, help="Print mean costs to stderr. Not for photos.")
def search(
    path: str,
    queries: str | None,
    images: tuple[str, ...],
    show: str | None,
    k: int,
    candidates: int | Literal["auto"] | None,
    target_recall: float | None,
    stats: bool,
) -> int:
    """Search a collection; prints lines of: query number, rank, ID, distance (tab-separated).

    A photo collection (see: metricsearch index) is searched by photos and prints a table for each.

    \b
    Example:
      metricsearch search words.ms misspelled.txt -k 3
      metricsearch search words.ms misspelled.txt --candidates auto --target-recall 0.95
      metricsearch search photos.ms --image query.jpg --show
    """
    from metricsearch.errors import InvalidInputError

    if _holds_photos(path) or (images and not os.path.exists(path)):
        from metricsearch.cli.photos import search_photos

        if queries is not None or not images:
            given = "PHOTO" if queries is None else queries
            raise InvalidInputError(f"{path}: a photo collection; search it by photos: --image {given}")
        if candidates is not None or target_recall is not None:
            option = "--target-recall" if candidates is None else "--candidates"
            raise InvalidInputError(f"{option}: {path} is a photo collection, which takes -k only; leave it out")
        return search_photos(path, images, k, show)
    if target_recall is not None and candidates != "auto":
        raise InvalidInputError("--target-recall: only searches with --candidates auto aim at one; add that")
    n_candidates = CANDIDATES if candidates is None else candidates
    recall = TARGET_RECALL if target_recall is None else target_recall
    _search_objects(path, queries, bool(images) or show is not None, k, n_candidates, recall, stats)
    return 0


def _check_made_alike(queries: str, opened: "OpenedObjects", path: str, collection: "Collection") -> None:
    """Queries that tell what they were made by fit a collection that tells the same, or nothing."""
    from metricsearch.provenance import check_same_provenance

    if opened.provenance is not None and collection.provenance is not None:
        check_same_provenance(queries, opened.provenance, path, collection.provenance)


def _search_objects(
    path: str,
    queries: str | None,
    is_for_photos: bool,
    k: int,
    n_candidates: int | Literal["auto"],
    target_recall: float,
    stats: bool,
) -> None:
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import open_objects
    from metricsearch.errors import InvalidInputError

    with Collection.open(path, readonly=True) as collection:
        if is_for_photos:
            raise InvalidInputError(
                f"{path}: no photo collection, so --image and --show do not apply; search it by QUERIES, objects like "
                "its own"
            )
        if queries is None:
            raise InvalidInputError(
                f"{path}: no queries; give some like its objects: metricsearch search {path} QUERIES"
            )
        opened = open_objects(queries)
        _check_made_alike(queries, opened, path, collection)
        result = collection.search(opened.load(), k, n_candidates=n_candidates, target_recall=target_recall)
    for row, (ids, distances) in enumerate(zip(result.ids.tolist(), result.distances.tolist(), strict=True)):
        for rank, (number, distance) in enumerate(zip(ids, distances, strict=True), start=1):
            click.echo(f"{row}\t{rank}\t{number}\t{distance:.6g}")
    if stats:
        costs = result.stats.to_dict()
        shown = ", ".join(f"{name} {values.mean():.4g}" for name, values in costs.items())
        click.echo(f"mean per query: {shown}", err=True)


@click.command()
@click.argument("path", type=click.Path())
@click.argument("ids", nargs=-1, type=int, required=True)
def remove(path: str, ids: tuple[int, ...]) -> None:
    """Delete objects by ID.

    \b
    Example:
      metricsearch remove words.ms 17 18
    """
    from metricsearch.collection import Collection

    _refuse_photos(path)
    with Collection.open(path) as collection:
        collection.remove(list(ids))
        click.echo(f"{path}: removed {len(ids):,} objects, {len(collection):,} left")


@click.command()
@click.argument("path", type=click.Path())
def info(path: str) -> int:
    """Print what a collection holds, as JSON.

    \b
    Example:
      metricsearch info words.ms
    """
    from metricsearch.collection import Collection

    if _holds_photos(path):
        from metricsearch.cli.photos import show_info

        return show_info(path)
    with Collection.open(path, readonly=True) as collection:
        content: dict[str, Any] = collection.info()
    click.echo(json.dumps(content, indent=2))
    return 0


@click.command()
@click.argument("path", type=click.Path())
def verify(path: str) -> int:
    """Check every byte of a collection against its checksums; exit status 1 if anything is damaged.

    \b
    Example:
      metricsearch verify words.ms
    """
    from metricsearch.collection import Collection

    if _holds_photos(path):
        from metricsearch.cli.photos import verify_photos

        return verify_photos(path)
    with Collection.open(path, readonly=True) as collection:
        problems = collection.verify()
    for line in problems or [f"{path}: fine"]:
        click.echo(line)
    return int(bool(problems))
