"""Command copy: a collection whose objects lie on disk in the order of the index."""

import click


@click.command()
@click.argument("source", type=click.Path())
@click.argument("target", type=click.Path())
def copy(source: str, target: str) -> None:
    """Copy a collection so that objects near each other share pages on disk.

    Objects, IDs, pivots and answers stay as they are. What learn-cutoff has learnt is not copied: learn again.

    \b
    Example:
      metricsearch copy words.ms sorted-words.ms
    """
    from metricsearch.collection import Collection
    from metricsearch.errors import InvalidInputError
    from metricsearch.photos import is_photo_collection

    if is_photo_collection(source):
        raise InvalidInputError(
            f"{source}: a photo collection; make another of the same photos: metricsearch index PHOTOS {target}"
        )
    with Collection.open(source, readonly=True) as collection:
        collection.copy_in_leaf_order(target, progress=True)
    with Collection.open(target, readonly=True) as copied:
        click.echo(f"{target}: {len(copied):,} objects, in the order of the index")
