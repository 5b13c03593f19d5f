"""`metricsearch data`: the catalogue of data sets."""

import click


@click.group()
def data() -> None:
    """List, fetch and check data sets.

    \b
    Example:
      metricsearch data list
    """


@data.command("list")
def list_() -> None:
    """List the catalogue: name, objects, metric, where it comes from.

    \b
    Example:
      metricsearch data list
    """
    from metricsearch.datasets import dataset_names, describe

    for name in dataset_names():
        entry = describe(name)
        count = f"{entry['n']:,}" if entry.get("n") else "any"
        click.echo(f"{name:26} {count:>12}  {str(entry['metric']):16} {entry['access']:10} {entry['title']}")


@data.command()
@click.argument("names", nargs=-1, required=True)
def fetch(names: tuple[str, ...]) -> None:
    """Download (or find) data sets and print where their files are.

    \b
    Example:
      metricsearch data fetch sift-128-euclidean
    """
    from metricsearch.datasets import fetch as fetch_files

    for name in names:
        for path in fetch_files(name):
            click.echo(f"{name}: {path}")


@data.command()
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> int:
    """Compare the sha256 of the files of data sets (default: all that need no download).

    \b
    Example:
      metricsearch data verify english-words
    """
    from metricsearch.datasets import dataset_names, describe
    from metricsearch.datasets import verify as problems_of

    chosen = names or [name for name in dataset_names() if describe(name)["access"] == "local"]
    failed = False
    for name in chosen:
        problems = problems_of(name)
        failed = failed or bool(problems)
        for line in problems or ["fine"]:
            click.echo(f"{name}: {line}")
    return int(failed)


@data.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--n", type=int, help="Objects to take of each (equal sizes compare best).")
@click.option("--queries", default=1000, show_default=True, help="Objects whose neighbours are measured.")
@click.option("--seed", default=0, show_default=True, help="Seed of the samples.")
def stats(names: tuple[str, ...], n: int | None, queries: int, seed: int) -> None:
    """Print a table of statistics: non-zeros, intrinsic dimensionality, neighbour distances.

    \b
    Example:
      metricsearch data stats decaf7-like googlenet-grid4096 --n 5271
    """
    from metricsearch.datasets import comparison_table, load_dataset

    sets = {name: load_dataset(name, n=n, seed=seed) for name in names}
    metric = next(iter(sets.values())).metric
    table = comparison_table({name: item.objects for name, item in sets.items()}, seed, queries, metric)
    click.echo(table.to_string(float_format="{:.4g}".format))
