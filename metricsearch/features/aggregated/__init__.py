"""One vector from many local descriptors: bags of words, VLAD, Fisher vectors; PCA-whitening."""
