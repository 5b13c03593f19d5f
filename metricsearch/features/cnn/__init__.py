"""Features from convolutional networks: models, their preprocessing, layers and pooling."""

from metricsearch.features.cnn.catalogue import is_at_hand, model_names, models_directory
from metricsearch.features.cnn.feature import SHORT_NAMES, CnnFeature, get_cnn_feature

__all__ = ["SHORT_NAMES", "CnnFeature", "get_cnn_feature", "is_at_hand", "model_names", "models_directory"]
