"""`metricsearch vocab`: train a vocabulary tree, index photos by their features, search it with a photo."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from metricsearch.cli.vocab_features import Query

Command = Callable[..., Any]


@click.group()
def vocab() -> None:
    """Image search with a vocabulary tree (Nister and Stewenius 2006).

    \b
    Example:
      metricsearch vocab train photos.h5 photos.vt
    """


@vocab.command()
@click.argument("features", type=click.Path())
@click.argument("tree", type=click.Path(path_type=Path))
@click.option("--feature", help="Local feature of FEATURES; default: the only one it has.")
@click.option("--branching", default=10, show_default=True, help="Children per node (k).")
@click.option("--depth", default=6, show_default=True, help="Levels below the root (L).")
@click.option("--flat", "n_words", type=int, help="Flat words, so many, in place of --branching and --depth.")
@click.option("--cycles", default=10, show_default=True, help="Lloyd cycles per node.")
@click.option("--start", default="random", show_default=True, help="First centres: random or k-means++.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first centres and of the sample.")
@click.option("--n-descriptors", type=int, help="Train on a random sample of so many descriptors; default: all.")
@click.option("--hamming", is_flag=True, help="Learn 64-bit signatures too (Hamming embedding).")
@click.pass_context
def train(
    context: click.Context,
    features: str,
    tree: Path,
    feature: str | None,
    branching: int,
    depth: int,
    n_words: int | None,
    cycles: int,
    start: str,
    seed: int,
    n_descriptors: int | None,
    hamming: bool,
) -> None:
    """Train the new tree TREE from the feature file FEATURES; after a stop, the same command goes on.

    \b
    Example:
      metricsearch vocab train photos.h5 photos.vt --depth 5 --n-descriptors 2000000
    """
    from metricsearch.cli.vocab_features import train_tree

    if n_words is not None:
        given = [name for name in ("branching", "depth") if context.get_parameter_source(name) != _DEFAULT]
        if given:
            raise click.UsageError(f"--flat {n_words} stands in place of --{given[0]}; give one of them")
        branching, depth = n_words, 1
    parameters = {"branching": branching, "depth": depth, "cycles": cycles, "start": start, "seed": seed}
    trained = train_tree(features, feature, tree, parameters | {"hamming": hamming}, n_descriptors)
    with trained:
        vocabulary = trained.vocabulary
        n_bytes = vocabulary.memory_bytes
        click.echo(f"{tree}: {vocabulary.n_leaves:,} words, {vocabulary.n_nodes:,} nodes, {n_bytes:,} bytes in memory")


_DEFAULT = click.core.ParameterSource.DEFAULT


@vocab.command()
@click.argument("tree", type=click.Path())
@click.argument("features", type=click.Path())
def index(tree: str, features: str) -> None:
    """Add the images of the feature file FEATURES that TREE does not have yet, by their paths.

    \b
    Example:
      metricsearch vocab index photos.vt photos.h5
    """
    from metricsearch.cli.vocab_features import index_features
    from metricsearch.vocabtree import VocabularyTree

    with VocabularyTree.open(tree) as opened:
        n_added = index_features(opened, features)
        click.echo(f"{tree}: added {n_added:,} images, {len(opened):,} in all")


def _scoring_options(command: Command) -> Command:
    """The options of `metricsearch vocab search` that make a Scoring."""
    options = [
        click.option("--norm", default="l1", show_default=True, help="l1 or l2."),
        click.option("--levels", default=1, show_default=True, help="Levels used, counted from the leaves."),
        click.option("--entropy-query/--no-entropy-query", default=True, help="Weights on the query's side."),
        click.option("--entropy-database/--no-entropy-database", default=True, help="Weights on the images' side."),
        click.option("--frequency", default="image", show_default=True, help="What weights count: image or word."),
        click.option("--relative-to", default="root", show_default=True, help="Weights relative to: root or parent."),
        click.option("--exact-frequency/--list-frequency", default=True, help="Inner nodes: images, or list lengths."),
        click.option("--stop-most", default=0.0, help="Leave out so many per cent of the most frequent nodes."),
        click.option("--stop-least", default=0.0, help="Leave out so many per cent of the least frequent nodes."),
        click.option("--max-list-length", type=int, help="Leave out nodes with a longer list."),
        click.option("--burstiness", is_flag=True, help="Square roots of counts."),
        click.option("--drop-unseen", is_flag=True, help="Leave out words of the query that no image has."),
        click.option("--hamming-threshold", type=int, help="Score by signatures that differ in at most so many bits."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@vocab.command()
@click.argument("tree", type=click.Path())
@click.argument("photos", type=click.Path(path_type=Path), nargs=-1)
@click.option("-k", default=10, show_default=True, help="Images per query.")
@click.option("--soft", "n_assignments", default=1, show_default=True, help="Words per descriptor of the query.")
@click.option("--checks", "n_checks", type=int, help="Leaves looked at for each; more is slower and better.")
@click.option("--features-of", type=click.Path(), help="Take the queries from this feature file.")
@click.option("--image", "images", multiple=True, help="Path of an image in --features-of; default: all.")
@click.option("--verify", "verify_with", type=click.Path(), help="Check the best by geometry; their feature file.")
@click.option("--top", default=100, show_default=True, help="How many are checked with --verify.")
@_scoring_options
def search(
    tree: str,
    photos: tuple[Path, ...],
    k: int,
    n_assignments: int,
    n_checks: int | None,
    features_of: str | None,
    images: tuple[str, ...],
    verify_with: str | None,
    top: int,
    **scoring: Any,
) -> None:
    """Search TREE with PHOTOS; prints lines of: query number, rank, ID, score, path (tab-separated).

    Smaller scores are more similar. With --verify, the number of inliers stands before the path.

    \b
    Example:
      metricsearch vocab search photos.vt query.jpg --levels 2 --verify photos.h5
    """
    from metricsearch.cli.vocab_features import Verifier, queries_of_file, queries_of_photos
    from metricsearch.vocabtree import Scoring, VocabularyTree

    if bool(photos) == (features_of is not None):
        raise click.UsageError("give PHOTOS, or --features-of FEATURES.h5, as the queries")
    if images and features_of is None:
        raise click.UsageError("--image: names an image of a feature file; give that with --features-of")
    checked = Scoring(**scoring)
    with VocabularyTree.open(tree, readonly=True) as opened:
        queries = (
            queries_of_photos(opened, photos) if features_of is None else queries_of_file(opened, features_of, images)
        )
        verifier = None if verify_with is None else Verifier(opened, verify_with, top)
        for number, query in enumerate(queries):
            n_asked = k if verifier is None else max(k, top)
            result = opened.search(
                query.features.descriptors, n_asked, n_assignments=n_assignments, n_checks=n_checks, scoring=checked
            )
            ids, scores, inliers = result.ids, result.scores, None
            if verifier is not None:
                ids, scores, inliers = verifier(query, ids, scores)
            _print_result(opened, number, query, ids[:k], scores[:k], inliers)


def _print_result(opened: Any, number: int, query: "Query", ids: Any, scores: Any, inliers: Any) -> None:
    """The lines of one query; an empty answer is said in words."""
    if not len(ids):
        if not len(opened):
            reason = "the tree holds no images; add some with: metricsearch vocab index"
        elif not len(query.features.descriptors):
            reason = "no features were found in it"
        else:
            reason = "no image shares a weighted word with it"
        click.echo(f"{query.name}: nothing found: {reason}", err=True)
    names = opened.names(ids)
    for row, (image_id, score, name) in enumerate(zip(ids.tolist(), scores.tolist(), names, strict=True)):
        shown = [] if inliers is None else [str(inliers[row])]
        click.echo("\t".join([str(number), str(row + 1), str(image_id), f"{score:.6g}", *shown, name]))


@vocab.command()
@click.argument("tree", type=click.Path())
@click.argument("ids", nargs=-1, type=int, required=True)
def remove(tree: str, ids: tuple[int, ...]) -> None:
    """Remove images by ID.

    \b
    Example:
      metricsearch vocab remove photos.vt 17 18
    """
    from metricsearch.vocabtree import VocabularyTree

    with VocabularyTree.open(tree) as opened:
        opened.remove(list(ids))
        click.echo(f"{tree}: removed {len(ids):,} images, {len(opened):,} left")


@vocab.command()
@click.argument("tree", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(tree: str, as_json: bool) -> None:
    """Print what a tree holds: parameters, images, bytes in memory and on disk.

    \b
    Example:
      metricsearch vocab info photos.vt
    """
    from metricsearch.vocabtree import VocabularyTree

    with VocabularyTree.open(tree, readonly=True) as opened:
        content: dict[str, Any] = opened.info()
    if as_json:
        click.echo(json.dumps(content, indent=2))
        return
    for key, value in content.items():
        click.echo(f"{key:20} {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


@vocab.command()
@click.argument("tree", type=click.Path())
def verify(tree: str) -> int:
    """Check every byte of a tree against its checksums; exit status 1 if anything is damaged.

    \b
    Example:
      metricsearch vocab verify photos.vt
    """
    from metricsearch.vocabtree import VocabularyTree

    with VocabularyTree.open(tree, readonly=True) as opened:
        problems = opened.verify()
    for line in problems or [f"{tree}: fine"]:
        click.echo(line)
    return int(bool(problems))
