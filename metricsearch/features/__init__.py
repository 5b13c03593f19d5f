"""Features of photos: what is seen in them, as numbers that can be compared."""

from metricsearch.features.extraction import ExtractionReport, extract_photos
from metricsearch.features.feature_file import FeatureFile, PhotoFeatures, write_feature_file
from metricsearch.features.images import find_photos, read_photo
from metricsearch.features.local import KINDS, LocalFeatureOptions, LocalFeatures, extract_local, root_sift

__all__ = [
    "KINDS",
    "ExtractionReport",
    "FeatureFile",
    "LocalFeatureOptions",
    "LocalFeatures",
    "PhotoFeatures",
    "extract_local",
    "extract_photos",
    "find_photos",
    "read_photo",
    "root_sift",
    "write_feature_file",
]
