"""`metricsearch features`: what features there are, and those that are learned from photos."""

from typing import Any

import click

_AGGREGATIONS = ("bow", "vlad", "vlad-power", "vlad-intra", "fisher", "fisher-improved")
_FIRST_TOLD = {"name": 0, "kind": 1, "dimension": 2}


@click.group()
def features() -> None:
    """Features: which there are, and training those that learn from photos.

    \b
    Example:
      metricsearch extract photos/ --feature rootsift --out train.h5
      metricsearch features train vlad64.feature --from train.h5 --kind vlad-intra --whiten 128
      metricsearch extract photos/ --feature vlad64.feature --out photos.h5
    """


@features.command(name="list")
def list_features() -> int:
    """Print every feature by name: dimension, metric, what it is, what it needs.

    \b
    Example:
      metricsearch features list
    """
    from metricsearch.features.names import feature_names

    rows = [("name", "dimension", "metric", "needs", "what it is")]
    for entry in feature_names():
        dimension = "any" if entry.dimension is None else f"{entry.dimension:,}"
        rows.append((entry.name, dimension, entry.metric, entry.needs or "-", entry.about))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for *cells, about in rows:
        click.echo("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), about]).rstrip())
    return 0


@features.command()
@click.argument("out", type=click.Path())
@click.option("--from", "source", required=True, type=click.Path(), help="Feature file with local features.")
@click.option("--kind", type=click.Choice(_AGGREGATIONS), default="vlad-intra", show_default=True)
@click.option("--local", help="Which local features of the file; default: the only ones it has.")
@click.option("--words", default=64, show_default=True, help="Visual words, centres or Gaussians.")
@click.option("--pca", type=int, help="Reduce the local descriptors to so many dimensions first.")
@click.option("--whiten", type=int, help="Reduce the result to so many dimensions, whitened, of unit length.")
@click.option("--sample", default=100_000, show_default=True, help="Train on at most so many descriptors.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", "n_threads", type=int, help="Default: all cores.")
def train(
    out: str,
    source: str,
    kind: str,
    local: str | None,
    words: int,
    pca: int | None,
    whiten: int | None,
    sample: int,
    seed: int,
    n_threads: int | None,
) -> int:
    """Learn a bag of words, VLAD or Fisher vector from photos and write it to the new file OUT.

    OUT is then a feature like any other. Train on other photos than those you will search.

    \b
    Example:
      metricsearch features train vlad64.feature --from train.h5 --kind vlad-intra --words 64 --pca 64 --whiten 128
    """
    from metricsearch.features.aggregated import train_aggregated, train_whitening
    from metricsearch.features.feature_file import FeatureFile
    from metricsearch.features.trained import save_feature

    name = _name_of(out)
    with FeatureFile.open(source) as file:
        feature: Any = train_aggregated(
            file,
            kind,
            local=local,
            n_words=words,
            pca=pca,
            sample=sample,
            seed=seed,
            name=name if whiten is None else None,
            n_threads=n_threads,
        )
        if whiten is not None:
            feature = train_whitening(file, feature, whiten, name=name, progress=True)
        save_feature(out, feature)
    _say_trained(out, feature)
    return 0


@features.command()
@click.argument("out", type=click.Path())
@click.option("--from", "source", required=True, type=click.Path(), help="Feature file with the vectors to learn from.")
@click.option("--feature", required=True, help="Name of the feature whose vectors are reduced.")
@click.option("--dimension", type=int, required=True, help="So many dimensions remain.")
@click.option("--pca-only", is_flag=True, help="Keep the variances as they are: no whitening.")
def whiten(out: str, source: str, feature: str, dimension: int, pca_only: bool) -> int:
    """Learn a PCA-whitening of a feature's vectors and write the reduced feature to the new file OUT.

    Its vectors have unit length. Train on other photos than those you will search.

    \b
    Example:
      metricsearch extract photos/ --feature googlenet:pool5 --out train.h5
      metricsearch features whiten white.feature --from train.h5 --feature googlenet:pool5 --dimension 128
    """
    from metricsearch.features.aggregated import train_whitening
    from metricsearch.features.aggregated.training import feature_of_file
    from metricsearch.features.feature_file import FeatureFile
    from metricsearch.features.names import get_feature
    from metricsearch.features.trained import save_feature

    name = _name_of(out)
    with FeatureFile.open(source) as file:
        base = feature_of_file(file, feature, get_feature)
        trained = train_whitening(
            file, base, dimension, whiten=not pca_only, name=name, base_name=feature, progress=True
        )
        save_feature(out, trained)
    _say_trained(out, trained)
    return 0


@features.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--feature", default="pool5", show_default=True, help="CNN feature of each patch.")
@click.option("--components", default=500, show_default=True, help="Reduce the values of a patch to so many first.")
@click.option("--words", default=100, show_default=True, help="Centres of each VLAD.")
@click.option("--dimension", type=int, help="Per scale; default: 4096, or half the number of photos if that is less.")
@click.option("--seed", default=0, show_default=True)
@click.option("--threads", "n_threads", type=int, help="Default: all cores.")
def mop(
    photos: tuple[str, ...],
    out: str,
    feature: str,
    components: int,
    words: int,
    dimension: int | None,
    seed: int,
    n_threads: int | None,
) -> int:
    """Learn multi-scale orderless pooling (MOP) from PHOTOS and write it to the new file OUT.

    A network sees the whole photo and patches of two smaller sizes, 75 in all; a VLAD sums up each size. Train on
    other photos than those you will search.

    \b
    Example:
      metricsearch features mop train-photos/ mop.feature --feature pool5 --components 100
    """
    from metricsearch.features.cnn.mop import train_mop
    from metricsearch.features.trained import save_feature

    name = _name_of(out)
    trained = train_mop(
        photos,
        feature,
        name=name,
        n_components=components,
        n_words=words,
        level_dimension=dimension,
        seed=seed,
        n_threads=n_threads,
        progress=True,
    )
    save_feature(out, trained)
    _say_trained(out, trained)
    return 0


@features.command()
@click.argument("path", type=click.Path())
def info(path: str) -> int:
    """Print what the file of a trained feature holds, and check it against its checksum.

    \b
    Example:
      metricsearch features info vlad64.feature
    """
    from metricsearch.features.trained import read_feature, sha256_of_arrays

    recipe, arrays = read_feature(path)
    for line in _told(recipe):
        click.echo(line)
    for name, array in sorted(arrays.items()):
        click.echo(f"array {name}: {' x '.join(f'{side:,}' for side in array.shape)} {array.dtype}")
    click.echo(f"sha256 of the arrays: {sha256_of_arrays(arrays)}")
    return 0


def _told(recipe: dict[str, Any], prefix: str = "") -> list[str]:
    """The recipe line by line; a part of it by dotted names."""
    lines = []
    for key in sorted(recipe, key=lambda key: (_FIRST_TOLD.get(key, len(_FIRST_TOLD)), key)):
        value = recipe[key]
        if isinstance(value, dict) and key != "base_provenance":
            lines += _told(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            lines.append(f"{prefix}{key}: {'none' if value is None else value}")
    return lines


def _name_of(out: str) -> str:
    """The name of the feature that OUT will hold; before the work, what would be in the way of writing it is said."""
    from metricsearch.features.feature_writing import check_feature_name
    from metricsearch.features.names import plain_names
    from metricsearch.features.trained import check_new_file

    name = check_feature_name(check_new_file(out).stem)
    if name in plain_names():
        raise click.UsageError(f"{out}: there is a feature {name} already; call the file otherwise")
    return name


def _say_trained(out: str, feature: Any) -> None:
    photos = feature.recipe()["trained_on"]["photos"]
    click.echo(f"{out}: {feature.name}, {feature.dimension:,} numbers per photo, trained on {photos:,} photos")
