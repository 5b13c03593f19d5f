"""Does a learned order of verified images beat the order by inliers? On DVD covers that it was not trained on.

    METRICSEARCH_DATA=... python benchmarks/learned_reranking.py [--features 1000 200 100] [--distractors 2500]

For each number of features per photo (the strongest of RootSIFT): search with a vocabulary tree trained on the
database, verification of the first 50, then `LearnedReranker.fit` with the covers as objects: 5-fold cross-validation,
where all photos of a cover are on one side. It is kept only if it helps on covers that it has not seen.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from machine import describe_machine

from metricsearch import VocabularyTree
from metricsearch.datasets import ImageSet, load_image_set
from metricsearch.features import FeatureFile, LocalFeatureOptions, extract_photos
from metricsearch.threads import available_cores, thread_map
from metricsearch.verification import LearnedReranker, VerificationOptions, candidate_features, rerank

TOP = 50


def measure(images: ImageSet, n_features: int, folder: Path) -> None:
    """One row of the table."""
    path = folder / f"{n_features}.h5"
    photos = [*images.images, *(query.path for query in images.queries)]
    extract_photos(photos, path, LocalFeatureOptions(kind="rootsift", n_features=n_features))
    with FeatureFile.open(path) as file:
        row_of = {name: row for row, name in enumerate(file.paths)}
        rows = [row_of[str(photo)] for photo in photos]
        features = [file.features(row) for row in rows]
    database, queries = features[: len(images.images)], features[len(images.images) :]
    tree = VocabularyTree().fit(np.concatenate([image.descriptors for image in database]))
    tree.add_images((i, image.descriptors, "") for i, image in enumerate(database))
    options = VerificationOptions(min_inliers=4)  # few inliers tell something too

    def verified(query: int) -> tuple[np.ndarray, np.ndarray]:
        found = tree.search(queries[query].descriptors, TOP, n_checks=16)
        result = rerank(
            found.ids, found.scores, queries[query], database.__getitem__, top=TOP, options=options, n_threads=1
        )
        return candidate_features(result), np.isin(result.ids, list(images.queries[query].relevant))

    tables, labels = zip(*thread_map(verified, range(len(queries)), available_cores()), strict=True)
    gain = LearnedReranker.fit(tables, labels, [query.group for query in images.queries])
    held_out = gain.gain
    print(
        f"{n_features:>6} features per photo: top-1 by inliers {100 * held_out.top1_before:5.1f} %, learned "
        f"{100 * held_out.top1_after:5.1f} %; reciprocal rank {held_out.reciprocal_rank_before:.3f} -> "
        f"{held_out.reciprocal_rank_after:.3f} (standard error of the gain {held_out.standard_error:.3f}); "
        f"{'kept' if gain.kept else 'not kept'}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, nargs="+", default=[1000, 300, 100, 50])
    parser.add_argument("--distractors", type=int, default=2500)
    arguments = parser.parse_args()
    others = [load_image_set(name) for name in ("corel5k", "caltech101", "flickr8k")]
    share = arguments.distractors / sum(len(other) for other in others)
    thinned = [load_image_set(other.name, limit=round(share * len(other))) for other in others]
    images = load_image_set("dvd-covers").with_distractors(thinned)
    print(describe_machine())
    print(f"{len(images.queries)} phone photos of 50 covers, {len(images.images):,} images in the database")
    with tempfile.TemporaryDirectory() as folder:
        for n_features in arguments.features:
            measure(images, n_features, Path(folder))


if __name__ == "__main__":
    main()
