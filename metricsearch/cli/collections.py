"""Commands on collections: create, add, build, search, remove, info, verify."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

OBJECTS_HELP = "OBJECTS is dataset:NAME or a file: .npy .fvecs .bvecs .h5[:key] .csv .dic/.txt (words) .sig .profiset."


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


@click.command(epilog=OBJECTS_HELP)
@click.argument("path", type=click.Path())
@click.argument("objects")
@click.option("--metric", help="Metric; default: that of the data set or kind of file (numbers: euclidean).")
@click.option("--codec", help="How objects are stored; default: lossless for their kind.")
@click.option("--spaces", "n_spaces", default=4, show_default=True, help="Pivot spaces (lambda).")
@click.option("--pivots", "n_pivots", default=256, show_default=True, help="Pivots per space (k).")
@click.option("--prefix", "prefix_length", default=8, show_default=True, help="Prefix length (l).")
@click.option(
    "--pivot-choice", default="random", show_default=True, help="random, farthest-first, k-means, incremental."
)
@click.option("--pivot-file", help="Take the pivots from this file (OBJECTS notation).")
@click.option("--seed", default=0, show_default=True, help="Seed of the pivot choice.")
def create(
    path: str,
    objects: str,
    metric: str | None,
    codec: str | None,
    n_spaces: int,
    n_pivots: int,
    prefix_length: int,
    pivot_choice: str,
    pivot_file: str | None,
    seed: int,
) -> None:
    """Make a collection of OBJECTS in the new directory PATH and build its index.

    \b
    Example:
      metricsearch create words.ms dataset:english-words --pivots 128
    """
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import open_objects
    from metricsearch.ppp import PPPCodes

    opened = open_objects(objects)
    pivots = None if pivot_file is None else open_objects(pivot_file).load()
    index = PPPCodes(
        metric or opened.metric or "euclidean",
        n_spaces=n_spaces,
        n_pivots=n_pivots,
        prefix_length=prefix_length,
        pivot_choice=pivot_choice,
        seed=seed,
    )
    with _removed_on_error(path), Collection.create(path, index=index, codec=codec) as collection:
        collection.add(opened.objects, opened.ids, progress=True)
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

    opened = open_objects(objects)
    with Collection.open(path) as collection:
        added = collection.add(opened.objects, opened.ids, progress=True)
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

    with Collection.open(path) as collection:
        collection.build_index(progress=True)
        click.echo(f"{path}: {len(collection):,} objects, {collection.index.memory_bytes:,} bytes of index in memory")


@click.command(epilog=OBJECTS_HELP.replace("OBJECTS", "QUERIES"))
@click.argument("path", type=click.Path())
@click.argument("queries")
@click.option("-k", default=10, show_default=True, help="Neighbours per query.")
@click.option("--candidates", default=1000, show_default=True, help="Objects read per query (R).")
@click.option("--stats/--no-stats", default=True, help="Print mean costs to stderr.")
def search(path: str, queries: str, k: int, candidates: int, stats: bool) -> None:
    """Search a collection; prints lines of: query number, rank, ID, distance (tab-separated).

    \b
    Example:
      metricsearch search words.ms misspelled.txt -k 3
    """
    from metricsearch.collection import Collection
    from metricsearch.datasets.opening import open_objects

    loaded = open_objects(queries).load()
    with Collection.open(path, readonly=True) as collection:
        result = collection.search(loaded, k, n_candidates=candidates)
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

    with Collection.open(path) as collection:
        collection.remove(list(ids))
        click.echo(f"{path}: removed {len(ids):,} objects, {len(collection):,} left")


@click.command()
@click.argument("path", type=click.Path())
def info(path: str) -> None:
    """Print what a collection holds, as JSON.

    \b
    Example:
      metricsearch info words.ms
    """
    from metricsearch.collection import Collection

    with Collection.open(path, readonly=True) as collection:
        content: dict[str, Any] = collection.info()
    click.echo(json.dumps(content, indent=2))


@click.command()
@click.argument("path", type=click.Path())
def verify(path: str) -> int:
    """Check every byte of a collection against its checksums; exit status 1 if anything is damaged.

    \b
    Example:
      metricsearch verify words.ms
    """
    from metricsearch.collection import Collection

    with Collection.open(path, readonly=True) as collection:
        problems = collection.verify()
    for line in problems or [f"{path}: fine"]:
        click.echo(line)
    return int(bool(problems))
