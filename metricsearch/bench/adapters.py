"""Adapters of other libraries, loaded from the file that a suite names."""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from metricsearch.bench.method import Method
from metricsearch.errors import ConfigError, InvalidInputError, MissingDataError
from metricsearch.spaces import Metric
from metricsearch.validation import check_integer


def load_adapter(reference: str, folder: Path) -> type[Method]:
    """The class of a reference "FILE.py:CLASS"; FILE is relative to `folder`.

    Modules that lie beside FILE can be imported by it. Raises ConfigError (no such class, not a `Method`),
    MissingDataError (no such file); what the file itself raises goes through, as MissingExtraError does.
    """
    name, _, class_name = reference.rpartition(":")
    if not name or not class_name:
        raise ConfigError(f"adapter: expected FILE.py:CLASS, got {reference!r}")
    path = (folder / name).resolve()
    if not path.is_file() or path.suffix != ".py":
        raise MissingDataError(f"{path}: no such adapter file; the suite names it relative to its own folder")
    module_name = f"metricsearch_adapter_{path.stem}"
    module = sys.modules.get(module_name)
    if module is None or module.__file__ != str(path):
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # last, so that it hides no installed package
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise MissingDataError(f"{path}: cannot be loaded as a Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses look their module up
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    found = getattr(module, class_name, None)
    if not _is_adapter(found):
        known = [key for key, value in vars(module).items() if _is_adapter(value)]
        raise ConfigError(f"{path}: has no adapter {class_name!r}; adapters there: {', '.join(known) or 'none'}")
    return found


def _is_adapter(value: object) -> TypeGuard[type[Method]]:
    return isinstance(value, type) and issubclass(value, Method) and not inspect.isabstract(value)


def new_method(reference: str, folder: Path, metric: Metric, parameters: Mapping[str, Any]) -> Method:
    """An instance of the adapter `reference` for objects of `metric`.

    parameters: its keywords, and `seed` (default 0). Raises what `load_adapter` and the adapter raise, and
    InvalidInputError for keywords that it does not know.
    """
    adapter = load_adapter(reference, folder)
    keywords = {key: value for key, value in parameters.items() if key != "seed"}
    seed = check_integer(parameters.get("seed", 0), "seed", 0)
    return adapter(metric, seed, **known_keywords(adapter, keywords, ("metric", "seed")))


def known_keywords(function: Callable[..., Any], keywords: dict[str, Any], taken: tuple[str, ...]) -> dict[str, Any]:
    """`keywords`, if `function` knows all of them, misses none, and none is in `taken`. Raises InvalidInputError."""
    known = inspect.signature(function).parameters
    allowed = [name for name in known if name not in taken]
    missing = [name for name in allowed if known[name].default is inspect.Parameter.empty and name not in keywords]
    if missing:
        raise InvalidInputError(f"{function.__name__}: needs the parameter {missing[0]!r}")
    if unknown := [name for name in keywords if name not in allowed]:
        raise InvalidInputError(
            f"{function.__name__}: has no parameter {unknown[0]!r}; parameters: {', '.join(allowed) or 'none'}"
        )
    return keywords
