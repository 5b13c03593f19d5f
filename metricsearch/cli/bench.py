"""`metricsearch bench`."""

from pathlib import Path

import click


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE|RUN...", type=click.Path(path_type=Path))
@click.option("--output", default="runs", show_default=True, type=click.Path(path_type=Path), help="Where runs go.")
@click.option("--fresh", is_flag=True, help="Measure anew what this very code has measured before.")
@click.option("--only", multiple=True, metavar="LABEL", help="Measure this method only; repeat for more.")
@click.option("--page", type=click.Path(path_type=Path), help="Markdown page to bring up to date with the results.")
def bench(suites: tuple[Path, ...], output: Path, fresh: bool, only: tuple[str, ...], page: Path | None) -> int:
    """Compare methods side by side, from a suite file to tables and Pareto plots.

    The folder of a recorded run is not measured again; its results go to the page as they are. Exit status 1 if a
    method that the suite does not call optional could not be measured.

    \b
    Example:
      metricsearch bench benchmarks/suites/decaf7_100k.toml --page benchmarks/README.md
    """
    from metricsearch.bench.page import update_page
    from metricsearch.bench.runner import run_suite

    folders, incomplete = [], False
    for suite in suites:
        if suite.is_dir():
            if page is None:
                raise click.UsageError(f"{suite} is a recorded run, which can only be shown: add --page FILE")
            folders.append(suite)
            continue
        run = run_suite(suite, output, fresh=fresh, only=only)
        for label, reason in run.failed.items():
            click.echo(f"{suite}: {label}: not measured: {reason}", err=True)
        click.echo(f"report: {run.directory / 'report.md'}")
        folders.append(run.directory)
        incomplete |= bool(run.needed)
    if page is not None:
        update_page(page, folders)
        click.echo(f"page: {page}")
    return 1 if incomplete else 0
