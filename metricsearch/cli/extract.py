"""`metricsearch extract`: features of photos, kept in a file."""

import click


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path())
@click.option("--feature", default="sift", show_default=True, help="[mser-|dense-]sift or [mser-|dense-]rootsift.")
@click.option("--out", required=True, type=click.Path(), help="Feature file; one that exists is brought up to date.")
@click.option(
    "--max-side", default=800, show_default=True, help="Larger photos are made smaller, in pixels; 0: full size."
)
@click.option("--n-features", default=0, show_default=True, help="Keep so many per photo, strongest first; 0: all.")
@click.option("--drop-missing", is_flag=True, help="Drop photos from the file that are not given now.")
@click.option("--threads", "n_threads", type=int, help="Default: all cores.")
def extract(
    photos: tuple[str, ...],
    feature: str,
    out: str,
    max_side: int,
    n_features: int,
    drop_missing: bool,
    n_threads: int | None,
) -> int:
    """Write the features of PHOTOS (folders, files, .txt lists) to a file; only new photos are looked at.

    Photos that cannot be read are listed on stderr; exit status 1 if that is all of them. After a stop, the same
    command goes on.

    \b
    Example:
      metricsearch extract photos/ --feature rootsift --out photos.h5
    """
    from metricsearch.features import LocalFeatureOptions, extract_photos

    options = LocalFeatureOptions(kind=feature, max_side=max_side or None, n_features=n_features)
    report = extract_photos(photos, out, options, drop_missing=drop_missing, n_threads=n_threads, progress=True)
    for path, reason in report.failures:
        click.echo(f"{path}: {reason}", err=True)
    dropped = f", {report.n_dropped:,} dropped" if report.n_dropped else ""
    failed = f", {len(report.failures):,} not readable" if report.failures else ""
    click.echo(f"{report.n_new:,} new, {report.n_kept:,} kept{dropped}{failed}", err=True)
    click.echo(f"{out}: {report.n_photos:,} photos, {report.n_descriptors:,} descriptors ({feature})")
    return int(report.n_photos == 0)
