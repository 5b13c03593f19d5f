"""Data sets: catalogue, file formats, synthetic descriptors and statistics."""

from metricsearch.datasets.binary_formats import (
    AnnBenchmark,
    VecsSource,
    read_ann_hdf5,
    read_idx,
    read_npy,
    write_ann_hdf5,
    write_npy,
    write_vecs,
)
from metricsearch.datasets.image_layouts import ImageQuery
from metricsearch.datasets.image_sets import ImageSet, describe_image_set, image_set_names, load_image_set
from metricsearch.datasets.loading import Dataset, load_dataset, split_queries
from metricsearch.datasets.registry import (
    cache_directory,
    data_directory,
    dataset_names,
    describe,
    fetch,
    verify,
)
from metricsearch.datasets.sources import ArraySource, HDF5Source, ObjectSource, RowsSource
from metricsearch.datasets.statistics import DescriptorStatistics, comparison_table, descriptor_statistics
from metricsearch.datasets.synthetic import Decaf7Like, Decaf7LikeConstants
from metricsearch.datasets.synthetic_bags import SyntheticBags
from metricsearch.datasets.text_formats import (
    SignatureFile,
    read_dna,
    read_number_table,
    read_profiset,
    read_signatures,
    read_words,
    write_profiset,
    write_words,
)

__all__ = [
    "AnnBenchmark",
    "ArraySource",
    "Dataset",
    "Decaf7Like",
    "Decaf7LikeConstants",
    "DescriptorStatistics",
    "HDF5Source",
    "ImageQuery",
    "ImageSet",
    "ObjectSource",
    "RowsSource",
    "SignatureFile",
    "SyntheticBags",
    "VecsSource",
    "cache_directory",
    "comparison_table",
    "data_directory",
    "dataset_names",
    "describe",
    "describe_image_set",
    "descriptor_statistics",
    "fetch",
    "image_set_names",
    "load_dataset",
    "load_image_set",
    "read_ann_hdf5",
    "read_dna",
    "read_idx",
    "read_npy",
    "read_number_table",
    "read_profiset",
    "read_signatures",
    "read_words",
    "split_queries",
    "verify",
    "write_ann_hdf5",
    "write_npy",
    "write_profiset",
    "write_vecs",
    "write_words",
]
