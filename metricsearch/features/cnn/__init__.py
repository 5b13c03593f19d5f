"""Features from convolutional networks: models, their preprocessing, layers and pooling."""
