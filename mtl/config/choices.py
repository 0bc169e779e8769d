"""What params.yaml can choose from."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from mtl.config.codec import Codec
from mtl.config.data import Source
from mtl.config.files import AnyFileSet, Split
from mtl.config.mixing import Mixing
from mtl.config.model import Backbone, Sharing
from mtl.config.objective import Aggregator, Weighting
from mtl.config.operations import Operation
from mtl.config.order import Order
from mtl.config.tasks import AnyTask
from mtl.errors import ConfigError


def choices() -> dict[str, dict[str, str]]:
    """What params.yaml can choose from: kind → name → one line."""
    return {
        kind: {name: first_sentence(member) for name, member in found.items()} for kind, found in sections().items()
    }


def sections() -> dict[str, dict[str, type[Any]]]:
    """What params.yaml can choose from: kind → name → its section, which has the facts about it."""
    return {
        "tasks": _members(AnyTask),
        "backbones": _members(Backbone),
        "sharings": _members(Sharing),
        "weightings": _members(Weighting),
        "aggregators": _members(Aggregator),
        "mixings": _members(Mixing),
        "orders": _members(Order),
        "sources": _members(Source),
        "formats": _members(AnyFileSet, "format"),
        "splits": _members(Split),
        "operations": _members(Operation),
        "codecs": _members(Codec),
    }


def refuse_unknown(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    """Say of names that were given to an option which of them there are not, and what each could have meant.

    Raises:
        ConfigError: there is one.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        near = [match for name in unknown for match in difflib.get_close_matches(name, known, n=1)]
        guess = f"did you mean {', '.join(near)}? " if near else ""
        raise ConfigError(
            f"{option}: unknown {', '.join(unknown)}",
            found=", ".join(names),
            fix=f"{guess}choose from {', '.join(known)}",
        )


def _members(union: Any, key: str = "type") -> dict[str, type[Any]]:
    if isinstance(union, type):
        members: tuple[Any, ...] = (union,)
    else:
        members = get_args(get_args(union)[0])
    found: dict[str, type[Any]] = {}
    for member in members:
        (name,) = get_args(member.model_fields[key].annotation)
        found[name] = member
    return found


def first_sentence(member: type) -> str:
    """The first paragraph of a section's docstring, in one line."""
    return " ".join((member.__doc__ or "").strip().split("\n\n")[0].split())
