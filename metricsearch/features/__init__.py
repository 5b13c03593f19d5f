"""Features of photos: what is seen in them, as numbers that can be compared."""

from metricsearch.features.extraction import ExtractionReport, extract_photos
from metricsearch.features.feature import Feature, GlobalFeature, LocalFeature
from metricsearch.features.feature_file import FeatureFile, LocalTable
from metricsearch.features.feature_writing import PhotoEntry, write_feature_file
from metricsearch.features.images import find_photos, read_photo
from metricsearch.features.local import KINDS, LocalFeatureOptions, LocalFeatures, extract_local, root_sift
from metricsearch.features.names import FeatureEntry, feature_names, get_feature, get_features
from metricsearch.features.photo import Photo

__all__ = [
    "KINDS",
    "ExtractionReport",
    "Feature",
    "FeatureEntry",
    "FeatureFile",
    "GlobalFeature",
    "LocalFeature",
    "LocalFeatureOptions",
    "LocalFeatures",
    "LocalTable",
    "Photo",
    "PhotoEntry",
    "extract_local",
    "extract_photos",
    "feature_names",
    "find_photos",
    "get_feature",
    "get_features",
    "read_photo",
    "root_sift",
    "write_feature_file",
]
