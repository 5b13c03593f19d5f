"""The object store: objects of any kind, compressed, in one LMDB file."""

from metricsearch.store.codec import Codec
from metricsearch.store.codecs import codec_names, default_codec, get_codec
from metricsearch.store.lmdb_file import verify_file
from metricsearch.store.object_store import ObjectStore
from metricsearch.store.snapshot import Located, Snapshot

__all__ = [
    "Codec",
    "Located",
    "ObjectStore",
    "Snapshot",
    "codec_names",
    "default_codec",
    "get_codec",
    "verify_file",
]
