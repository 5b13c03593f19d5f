"""What objects were made by: those of different provenance cannot be compared.

A provenance is a dict fit for JSON (see `metricsearch.features.Feature.provenance`), or None: not known.
"""

import json
from collections.abc import Mapping
from typing import Any

from metricsearch.errors import InvalidInputError

Provenance = dict[str, Any]
_SHOWN_CHARACTERS = 40
_SHOWN_KEYS = 4


def check_provenance(value: Any) -> Provenance | None:
    """`value` as it comes back from a file; raise InvalidInputError unless it is None or a dict fit for JSON."""
    if value is None:
        return None
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"provenance: expected a dict of what JSON can hold ({error})") from None
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"provenance: expected a dict, got {value!r:.60}")
    provenance: Provenance = json.loads(text)
    return provenance


def check_same_provenance(what: str, given: Provenance | None, other: str, known: Provenance | None) -> None:
    """Raise InvalidInputError that names the differing keys; `what` has the provenance `given`, `other` has `known`.

    Known and unknown differ too: nobody can tell whether such objects are of one kind.
    """
    if known == given:
        return
    if given is None:
        how = f"nothing tells what they were made by, while {other} holds {_short(known)}"
    elif known is None:
        how = f"they are {_short(given)}, while nothing tells what those of {other} were made by"
    else:
        differing = differences(known, given)
        if known.get("feature") != given.get("feature"):  # then all else differs too
            differing = [text for text in differing if text.startswith("feature:")]
        more = [f"and {len(differing) - _SHOWN_KEYS} more"] if len(differing) > _SHOWN_KEYS else []
        how = f"made in another way than those of {other} ({'; '.join(differing[:_SHOWN_KEYS] + more)})"
    raise InvalidInputError(
        f"{what}: {how}; they cannot be compared, so keep them apart, or extract the photos again with one feature "
        "(metricsearch extract)"
    )


def differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two provenances differ, in words: "options.max_side: 800 there, 400 here"."""
    found = []
    for key in sorted({*there, *here}):
        old, new = there.get(key), here.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new or (key in there) != (key in here):
            texts = (_short(side[key]) if key in side else "nothing" for side in (there, here))
            found.append("{}: {} there, {} here".format(prefix + key, *texts))
    return found


def _short(value: Any) -> str:
    if isinstance(value, Mapping) and "feature" in value:
        value = f"feature {value['feature']}"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
