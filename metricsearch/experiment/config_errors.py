"""Reading experiment and suite files, and what is wrong with them as one line in their own words."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from metricsearch.errors import ConfigError, MissingDataError

ModelT = TypeVar("ModelT", bound=BaseModel)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of a file. what: how messages call it, as "suite file". Raises MissingDataError, ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such {what}; check the name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise MissingDataError(f"{path}: cannot be read ({error.strerror}); check the name") from None


def validated(path: Path, table: dict[str, Any], model: type[ModelT]) -> ModelT:
    """`table` of the file `path` as `model`. Raises ConfigError: file, key, what is allowed, what was given."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {one_line(error, model)}") from None


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """All problems in one line: key, what is allowed, what was given."""
    return "; ".join(dict.fromkeys(_problem(details, model) for details in error.errors()))


def _problem(details: ErrorDetails, model: type[BaseModel]) -> str:
    table, field, path = _resolve(details["loc"], model)
    key = ".".join(path)
    given = repr(details["input"])
    given = given if len(given) <= 60 else given[:57] + "..."
    match details["type"]:
        case "extra_forbidden":
            known = list(table.model_fields)
            similar = difflib.get_close_matches(path[-1], known, n=1)
            hint = f" (did you mean {similar[0]!r}?)" if similar else ""
            return f"{key}: unknown key{hint}; known keys: {', '.join(known)}"
        case "missing":
            return f"{key}: missing; expected {_expected(field)}"
        case "value_error":
            text = details["msg"].removeprefix("Value error, ")
            inner = _model_of(field.annotation) if field else None
            if inner is not None and text.partition(":")[0] in inner.model_fields:
                return f"{key}.{text}"
            return f"{key}: {text}" if key else text
        case _:
            return f"{key}: expected {_expected(field) or details['msg']}, got {given}"


def _resolve(loc: tuple[Any, ...], model: type[BaseModel]) -> tuple[type[BaseModel], FieldInfo | None, list[str]]:
    """The table and the field that a location speaks of, and its path as a reader writes it."""
    field: FieldInfo | None = None
    path: list[str] = []
    for part in loc:
        if isinstance(part, int):
            path[-1:] = [f"{path[-1]}[{part}]"] if path else [f"[{part}]"]
        elif field is None or (inner := _model_of(field.annotation)) is not None:
            if field is not None and inner is not None:
                model = inner
            path.append(str(part))
            field = model.model_fields.get(str(part))
            if field is None:
                break
    return model, field, path


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The table inside an annotation such as `Table | None` or `tuple[Table, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if (found := _model_of(argument)) is not None:
            return found
    return None


def _expected(field: FieldInfo | None) -> str:
    """What a field takes: its own description, or that of the type inside."""
    if field is None:
        return ""
    if field.description:
        return field.description
    if _model_of(field.annotation) is not None:
        return "a table"
    return _described(field.annotation)


def _described(annotation: Any) -> str:
    for item in getattr(annotation, "__metadata__", ()):
        if isinstance(item, FieldInfo) and item.description:
            return item.description
    for argument in get_args(annotation):
        if text := _described(argument):
            return f"a list; each: {text}" if str(annotation).startswith("tuple[") else text
    return ""
