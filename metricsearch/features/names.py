"""Features by name: classic, local, of a network, trained, and combinations of them."""

import difflib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from metricsearch.errors import InvalidInputError, MissingDataError, UnknownNameError
from metricsearch.features.feature import Feature, GlobalFeature, LocalFeature
from metricsearch.features.local import KINDS, LocalFeatureOptions

_MODEL_SUFFIX = ".onnx"
_DETECTORS = {
    "blobs": "SIFT at differences of Gaussians",
    "mser": "SIFT at maximally stable regions",
    "dense": "SIFT on a grid",
}


class FeatureEntry(NamedTuple):
    """A name that `get_feature` knows, or the pattern of many.

    dimension: None for local features and where it is not known without a file that is not here. metric: name of the
    distance meant. needs: packages, or the model and whether it is at hand.
    """

    name: str
    dimension: int | None
    metric: str
    about: str
    needs: str


def get_feature(text: str) -> Feature[Any]:
    """The feature of a name.

    One word: a classic, local or short CNN name (`feature_names`). MODEL:LAYER or MODEL:LAYER:POOLING: of a network,
    by its name or the path of an .onnx file. The path of a file that `metricsearch features train` wrote. Global ones
    joined with "+", each with a weight before "*" if it is not 1: "2*hsv+lbp-grid".
    Raises UnknownNameError, InvalidInputError, MissingDataError, CorruptedError, MissingExtraError.
    """
    if not isinstance(text, str) or not text:
        raise InvalidInputError(f"feature: expected a name such as sift or hsv, got {text!r}")
    if ("+" in text or "*" in text) and not _is_file(text):
        return _combined(text)
    return _single(text)


def get_features(features: Feature[Any] | str | Iterable[Feature[Any] | str]) -> list[Feature[Any]]:
    """Features by name or as they are; a name may be several with commas between: "hsv,sift".

    Raises InvalidInputError where there is none or two have one name, and as `get_feature`.
    """
    given = [features] if isinstance(features, str | Feature) else list(features)
    found: list[Feature[Any]] = []
    for entry in given:
        if isinstance(entry, Feature):
            found.append(entry)
        elif isinstance(entry, str):
            found += [get_feature(name.strip()) for name in entry.split(",")]
        else:
            raise InvalidInputError(f"features: expected names or features, got {entry!r:.80}")
    if not found:
        raise InvalidInputError("features: expected at least one, got none")
    names = [feature.name for feature in found]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(f"features: {name} is given {names.count(name)} times; give it once")
    return found


def feature_names() -> list[FeatureEntry]:
    """What `get_feature` knows, in the order in which it is listed to users; nothing is downloaded."""
    from metricsearch.features.classic import CLASSIC

    classic = [_classic_entry(name, make()) for name, make in CLASSIC.items()]
    return [*classic, *map(_local_entry, KINDS), *_cnn_entries(), *_PATTERNS]


def plain_names() -> list[str]:
    """The names that are one word: of classic features, of local ones, and short ones of CNNs."""
    from metricsearch.features.classic import CLASSIC
    from metricsearch.features.cnn import SHORT_NAMES

    return [*CLASSIC, *KINDS, *SHORT_NAMES]


_PATTERNS = (
    FeatureEntry(
        "PATH", None, "euclidean", "a feature that `metricsearch features train` or `whiten` wrote", "that file"
    ),
    FeatureEntry(
        "A+B, 2*A+B", None, "weighted", "global features side by side, their distances added", "what they need"
    ),
)


def _is_file(text: str) -> bool:
    """Whether `text` names a file, or a layer of a model file: their paths may hold any character."""
    model, suffix, _ = text.partition(f"{_MODEL_SUFFIX}:")
    return Path(model + suffix.rstrip(":")).is_file()


def _single(text: str) -> Feature[Any]:
    from metricsearch.features.classic import CLASSIC
    from metricsearch.features.cnn import SHORT_NAMES, get_cnn_feature, model_names

    if text in CLASSIC:
        return CLASSIC[text]()
    if text in KINDS:
        return LocalFeature(LocalFeatureOptions(kind=text))
    if text in SHORT_NAMES or text in model_names() or ":" in text or text.endswith(_MODEL_SUFFIX):
        return get_cnn_feature(text)
    if Path(text).is_file():
        from metricsearch.features.trained import load_feature

        return load_feature(text, get_feature)
    raise _unknown(text)


def _combined(text: str) -> Feature[Any]:
    from metricsearch.features.classic import CombinedFeature

    parts, weights = [], []
    for term in text.split("+"):
        before, star, name = term.rpartition("*")
        if not name:
            raise InvalidInputError(f"feature {text!r}: expected a name on both sides of each +, as in hsv+lbp-grid")
        weights.append(_weight(before, text) if star else 1.0)
        part = _single(name)
        if not isinstance(part, GlobalFeature):
            raise InvalidInputError(f"feature {text!r}: {name} describes places of a photo; join global features only")
        parts.append(part)
    if len(parts) == 1:
        raise InvalidInputError(f"feature {text!r}: a weight is for one of several (2*hsv+lbp-grid); leave it out")
    return CombinedFeature(parts, weights)


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InvalidInputError(f"feature {text!r}: expected a weight > 0 before *, got {number!r}")
    return weight


def _unknown(text: str) -> Exception:
    if "/" in text or Path(text).suffix:
        return MissingDataError(f"{text}: no such file; make it with: metricsearch features train {text} --from FILE")
    known = plain_names()
    close = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return UnknownNameError(
        f"feature {text!r} is unknown; {hint}known: {', '.join(known)}, MODEL:LAYER[:POOLING], sums such as "
        "hsv+lbp-grid, and files of `metricsearch features train`"
    )


def _metric_name(metric: str | dict[str, Any]) -> str:
    return metric if isinstance(metric, str) else str(metric["name"])


def _about(feature: Feature[Any]) -> str:
    """The first sentence of what its class says."""
    return (type(feature).__doc__ or "").partition("\n")[0].rstrip(".")


def _classic_entry(name: str, feature: GlobalFeature) -> FeatureEntry:
    parts = getattr(feature, "features", None)
    about = f"{', '.join(part.name for part in parts)}, weighted" if parts else _about(feature)
    return FeatureEntry(name, feature.dimension, _metric_name(feature.metric), about, "OpenCV, scikit-image")


def _local_entry(kind: str) -> FeatureEntry:
    about = _DETECTORS[LocalFeatureOptions(kind=kind).detector]
    if kind.endswith("rootsift"):
        about = about.replace("SIFT", "RootSIFT")
    return FeatureEntry(kind, None, "euclidean", f"{about}; many per photo", "OpenCV")


def _cnn_entries() -> list[FeatureEntry]:
    from metricsearch.features.cnn import SHORT_NAMES, get_cnn_feature, is_at_hand, model_names
    from metricsearch.features.cnn.pooling import POOLINGS

    entries = []
    for name, stands_for in SHORT_NAMES.items():
        model = stands_for.partition(":")[0]
        dimension = get_cnn_feature(name).dimension if is_at_hand(model) else None
        entries.append(FeatureEntry(name, dimension, "euclidean", stands_for, _model_need(model)))
    for model in model_names():
        about = f"a layer of {model}; maps need :POOLING, one of {' '.join(POOLINGS)}"
        entries.append(FeatureEntry(f"{model}:LAYER[:POOLING]", None, "euclidean", about, _model_need(model)))
    return entries


def _model_need(model: str) -> str:
    from metricsearch.features.cnn import is_at_hand

    return f"model {model}, {'at hand' if is_at_hand(model) else 'not here'}"
