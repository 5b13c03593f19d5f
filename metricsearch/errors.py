"""Errors a user can act on. Each derives from `MetricSearchError` and from the built-in it resembles."""


class MetricSearchError(Exception):
    """Base of all errors raised on purpose by this package; its text is one line."""


class InvalidInputError(MetricSearchError, ValueError):
    """An argument or an object has the wrong type, shape or value."""


class UnknownNameError(MetricSearchError, ValueError):
    """A metric, codec, data set or option of that name does not exist; the text lists those that do."""


class NonMetricError(MetricSearchError, ValueError):
    """A distance function breaks a metric postulate, so that pivot-based search would be wrong."""


class ConfigError(MetricSearchError, ValueError):
    """An experiment file has an unknown key or an impossible value."""


class UnknownIdError(MetricSearchError, KeyError):
    """An object ID is not in the collection."""

    __str__ = Exception.__str__  # KeyError would show the text in quotes


class DuplicateIdError(MetricSearchError, ValueError):
    """An object ID is already taken, or is given twice."""


class EmptyIndexError(MetricSearchError, ValueError):
    """A search needs at least one object."""


class OutdatedIndexError(MetricSearchError, RuntimeError):
    """The index does not cover the objects of its collection."""


class MissingIndexError(MetricSearchError, RuntimeError):
    """The collection has no index yet."""


class CorruptedError(MetricSearchError, OSError):
    """A file is damaged: truncated, overwritten, or a checksum differs."""


class StorageError(MetricSearchError, OSError):
    """The system refuses a file operation: disk full, no permission, or the file is in use by another process."""


class FormatVersionError(MetricSearchError, ValueError):
    """A file was written by an incompatible version."""


class MissingDataError(MetricSearchError, FileNotFoundError):
    """A data set or file is not on this machine; the text says how to get it."""


class ExistsError(MetricSearchError, FileExistsError):
    """A new collection or file would overwrite an existing one."""


class MissingExtraError(MetricSearchError, ImportError):
    """An optional dependency is not installed; the text names the pip command."""
