"""`metricsearch run` and `metricsearch report`."""

from pathlib import Path

import click


@click.command()
@click.argument("configs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", default="runs", show_default=True, type=click.Path(path_type=Path), help="Where runs go.")
def run(configs: tuple[Path, ...], output: Path) -> None:
    """Run experiments and write their results, tables, figures and provenance.

    \b
    Example:
      metricsearch run experiments/quickstart.toml
    """
    from metricsearch.experiment import run_experiment

    for config in configs:
        result = run_experiment(config, output)
        click.echo(result.table)
        click.echo(f"report: {result.directory / 'report.md'}")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--target", default="paper_results.md", show_default=True, type=click.Path(path_type=Path))
@click.option("--figures", default="experiments/figures", show_default=True, type=click.Path(path_type=Path))
def report(runs: tuple[Path, ...], target: Path, figures: Path) -> None:
    """Write paper_results.md from recorded runs: the paper's value, ours, why they differ.

    \b
    Example:
      metricsearch report runs/*
    """
    from metricsearch.report import write_paper_results

    write_paper_results(list(runs), target, figures)
    click.echo(f"report: {target}")
