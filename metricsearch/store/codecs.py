"""The registry of codecs."""

import difflib
from collections.abc import Mapping
from typing import Any

from metricsearch.errors import InvalidInputError, UnknownNameError
from metricsearch.spaces import ObjectKind
from metricsearch.store.codec import Codec
from metricsearch.store.object_codecs import OBJECT_CODECS
from metricsearch.store.vector_codecs import VECTOR_CODECS

# The first codec of a kind is its default.
_CODECS = VECTOR_CODECS + OBJECT_CODECS


def codec_names(kind: ObjectKind | None = None) -> list[str]:
    """Names of all codecs, or of those for objects of `kind`, default first."""
    return [codec.name for codec in _CODECS if kind is None or codec.kind is kind]


def default_codec(kind: ObjectKind) -> str:
    """The codec that takes every object of `kind` without loss and without optional packages."""
    return codec_names(kind)[0]


def get_codec(name: str | Codec, kind: ObjectKind | None = None, parameters: Mapping[str, Any] | None = None) -> Codec:
    """The codec called `name`, for objects of `kind`, with `parameters` (pcodec: level 0..12).

    Raises UnknownNameError, InvalidInputError (wrong kind or parameters), MissingExtraError.
    """
    found = name if isinstance(name, Codec) else _find(name)
    if kind is not None and found.kind is not kind:
        fitting = " or ".join(codec_names(kind))
        raise InvalidInputError(f"codec: {found.name} takes {found.kind.name}; for {kind.name} use {fitting}")
    if isinstance(found, Codec):
        return found
    try:
        return found(**(parameters or {}))
    except TypeError:
        names = ", ".join(map(str, parameters or {}))
        raise InvalidInputError(f"codec: {found.name} has no such parameters: {names}") from None


def _find(name: str) -> type[Codec]:
    for codec in _CODECS:
        if codec.name == name:
            return codec
    close = difflib.get_close_matches(str(name), codec_names(), 1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UnknownNameError(f"codec: unknown name {name!r}{hint}; known: {', '.join(codec_names())}")
