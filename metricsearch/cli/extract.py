"""`metricsearch extract`: features of photos, kept in a file."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from metricsearch.features import Feature


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path())
@click.option(
    "--feature", default="sift", show_default=True, metavar="NAME[,NAME...]", help="See: metricsearch features list."
)
@click.option("--out", required=True, type=click.Path(), help="Feature file; one that exists is brought up to date.")
@click.option("--max-side", type=int, help="Local features: make larger photos smaller; 0: full size.  [default: 800]")
@click.option("--n-features", type=int, help="Local features: keep so many, strongest first.  [default: all]")
@click.option("--drop-missing", is_flag=True, help="Drop photos from the file that are not given now.")
@click.option("--threads", "n_threads", type=int, help="Default: all cores.")
def extract(
    photos: tuple[str, ...],
    feature: str,
    out: str,
    max_side: int | None,
    n_features: int | None,
    drop_missing: bool,
    n_threads: int | None,
) -> int:
    """Write features of PHOTOS (folders, files, .txt lists) to a file; only what is new is computed.

    Photos that cannot be read are listed on stderr; exit status 1 if that is all of them. After a stop, the same
    command goes on.

    \b
    Example:
      metricsearch extract photos/ --feature rootsift,classic --out photos.h5
    """
    from metricsearch.features import extract_photos, get_features

    options: dict[str, Any] = {}
    if max_side is not None:
        options["max_side"] = max_side or None
    if n_features is not None:
        options["n_features"] = n_features
    features = _with_options(get_features(feature), options)
    report = extract_photos(photos, out, features, drop_missing=drop_missing, n_threads=n_threads, progress=True)
    for path, reason in report.failures:
        click.echo(f"{path}: {reason}", err=True)
    dropped = f", {report.n_dropped:,} dropped" if report.n_dropped else ""
    failed = f", {len(report.failures):,} not readable" if report.failures else ""
    rate = f" in {report.seconds:.1f} s" + (f" ({report.n_new / report.seconds:.1f} a second)" if report.n_new else "")
    click.echo(f"{report.n_new:,} new, {report.n_kept:,} kept{dropped}{failed}{rate}", err=True)
    click.echo(f"{out}: {report.n_photos:,} photos; {_content(out)}")
    return int(report.n_photos == 0)


def _with_options(features: "list[Feature[Any]]", options: dict[str, Any]) -> "list[Feature[Any]]":
    """The same features; local ones with these options."""
    from metricsearch.features import LocalFeature, LocalFeatureOptions

    if options and not any(isinstance(feature, LocalFeature) for feature in features):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise click.UsageError(f"{named}: for local features such as sift, and none is asked for; leave it out")
    return [
        LocalFeature(LocalFeatureOptions(kind=feature.options.kind, **options))
        if isinstance(feature, LocalFeature)
        else feature
        for feature in features
    ]


def _content(out: str) -> str:
    """The features of a file and how large they are."""
    from metricsearch.features import FeatureFile

    with FeatureFile.open(out) as file:
        sizes = [
            f"{len(file.local(name).descriptors):,} descriptors"
            if file.is_local(name)
            else f"{file.vectors(name).shape[1]:,} dimensions"
            for name in file.names
        ]
        return ", ".join(f"{name} ({size})" for name, size in zip(file.names, sizes, strict=True))
