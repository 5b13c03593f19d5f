"""What a photo collection computes of a photo: one global feature, and local ones for the words."""

import os
import re

from metricsearch.errors import InvalidInputError
from metricsearch.features import FeatureFile, LocalFeatureOptions
from metricsearch.features.feature import GlobalFeature, LocalFeature
from metricsearch.features.names import get_feature
from metricsearch.features.trained import feature_from_arrays
from metricsearch.photos.manifest import PhotosManifest
from metricsearch.provenance import differences

LOCAL = LocalFeatureOptions(kind="rootsift", n_features=800)


def default_feature() -> str:
    """Name of the feature where none is named: "pool5-unit" if its model is on this machine, else "classic"."""
    from metricsearch.features.cnn import is_at_hand

    return "pool5-unit" if is_at_hand("googlenet") else "classic"


def lasting_name(text: str) -> str:
    """`text` of a feature as it is understood in any folder: what names a file becomes an absolute path."""
    return _absolute(text) if os.path.isfile(text) else re.sub(r"[^+*]+", lambda part: _absolute(part[0]), text)


def _absolute(name: str) -> str:
    file, colon, layer = name.partition(":")
    return os.path.abspath(file) + colon + layer if "." in file and os.path.isfile(file) else name


def named_feature(text: str) -> GlobalFeature:
    """The global feature of this name or file. Raises UnknownNameError, InvalidInputError (a local one)."""
    feature = get_feature(text)
    if not isinstance(feature, GlobalFeature):
        raise InvalidInputError(
            f"feature: {text} describes places of a photo, a collection needs one vector per photo; leave it out, or "
            "choose one that `metricsearch features list` gives a dimension for"
        )
    return feature


def local_feature(manifest: PhotosManifest) -> LocalFeature | None:
    """The local feature of a collection with words; None for one without."""
    return None if manifest.local is None else LocalFeature(LocalFeatureOptions(**manifest.local))


def stored_name(manifest: PhotosManifest, file: FeatureFile) -> str:
    """Name of the global feature in the file of the photos."""
    local = local_feature(manifest)
    return next(name for name in file.names if local is None or name != local.name)


def stored_feature(manifest: PhotosManifest, file: FeatureFile) -> GlobalFeature:
    """The very feature whose vectors are in the file; a trained one is made again of what is stored beside them.

    Raises InvalidInputError where this program or its libraries would compute other values.
    """
    name = stored_name(manifest, file)
    provenance = file.provenance(name)
    if "recipe" in provenance:
        feature: GlobalFeature = feature_from_arrays(provenance["recipe"], file.trained_arrays(name), get_feature)
    else:
        feature = named_feature(manifest.feature)
    if differing := differences(provenance, feature.provenance()):
        raise InvalidInputError(
            f"{file.path.parent}: feature {manifest.feature} is made in another way here than when the photos were "
            f"indexed ({'; '.join(differing)}); delete the collection {file.path.parent} and index the photos anew"
        )
    return feature
