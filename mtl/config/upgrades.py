"""What became of keys of params.yaml, by version: the one table of it, and how an older file is moved forward.

A file does not say for which version it was written. What can be seen in it (a key that no longer exists) is always mended; a default
that means another thing than before is written down as it was only for whoever says which version the file is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

from mtl.config.changes import Node, keeps, removed
from mtl.errors import ConfigError


@dataclass(frozen=True)
class Note:
    """One thing that was changed, or cannot be.

    Attributes:
        refused: nobody but the user can know what is to stand there now.
    """

    path: str
    what: str
    why: str
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.what} ({self.why})"


@dataclass(frozen=True)
class Upgrade:
    """What one version did to one key.

    Attributes:
        since: the version of mtl from which on it holds.
        section: where the key is; `*` is any key or item, and an empty one the whole file.
        where: what else stands in the section, for the key to be meant.
        change: brings the section forward, and says how; None: there is nothing to do. It raises a ValueError with what the
            user must decide, and leaves the section as it is.
        unseen: a default that changed: of a file that lacks the key nobody can see whether it was meant.
    """

    since: str
    section: str
    key: str
    change: Callable[[Node, str], str | None]
    why: str
    where: Mapping[str, object] | None = None
    unseen: bool = False


def _pretrained(node: Node, key: str) -> str | None:
    if key not in node:
        return None
    if node[key]:
        raise ValueError(
            "weights are named by what they are: model.pretrained {type: hub, repository, revision}, or {type: file, path, sha256}"
        )
    done = removed(node, key)
    return done if "norm" in node else f"{done}; norm: {keeps('batch')(node, 'norm')}"


def _alpha(node: Node, key: str) -> str | None:
    if isinstance(node.get(key), float) and 0.0 < node[key] < 0.001:
        raise ValueError("at least 0.001: less cannot be shown by the permutations that are drawn")
    return None


def _compile(node: Node, key: str) -> str | None:
    if not isinstance(node.get(key), bool):
        return None
    node[key] = "default" if node[key] else "off"
    return f"is {node[key]} now"


MGDA = "the shortest vector is found exactly, in finitely many steps"
UPGRADES: tuple[Upgrade, ...] = (
    Upgrade(
        "0.2.0",
        "model.backbone",
        "pretrained",
        _pretrained,
        "weights come from where model.pretrained says, pinned by hash, for any backbone",
        {"type": "timm"},
    ),
    Upgrade("0.2.0", "objective.aggregator", "epsilon", removed, MGDA, {"type": "mgda"}),
    Upgrade("0.2.0", "objective.aggregator", "max_iterations", removed, MGDA, {"type": "mgda"}),
    Upgrade(
        "0.2.0",
        "monitor",
        "alpha",
        _alpha,
        "a look may alarm by chance in so small a share of looks only after more draws",
    ),
    Upgrade("0.2.0", "train", "compile", _compile, "it is a choice of modes; auto chooses by the machine"),
    Upgrade(
        "0.2.0",
        "gate",
        "min_skill",
        keeps(None),
        "0.0 is asked for now: every task must beat the best answer that does not look at the image; delete the line for that",
        unseen=True,
    ),
    Upgrade(
        "0.2.0",
        "gate",
        "max_untested_classes",
        keeps(1.0),
        "0.0 is asked for now: a new task's classes must have test samples; delete the line for that",
        unseen=True,
    ),
    Upgrade(
        "0.2.0",
        "data.source.sets.*",
        "difficult",
        keeps(before=True),
        "boxes marked difficult are ignored now, as VOC's metrics do; delete the line for that",
        {"format": "voc"},
        unseen=True,
    ),
    Upgrade(
        "0.2.0",
        "data.source.sets.*",
        "image",
        keeps("image"),
        "the only column that can be the images' is taken now",
        {"format": "huggingface"},
        unseen=True,
    ),
)


def upgrade(values: Node, written_for: str | None = None) -> list[Note]:
    """Move a tree of params forward, in place; what was done, and what the user must decide.

    Args:
        written_for: the version of mtl that the file was written for; None: only what can be seen in it is mended.

    Raises:
        ConfigError: `written_for` is no version.
    """
    before = _version(written_for) if written_for is not None else None
    notes: list[Note] = []
    for row in UPGRADES:
        if before is not None and before >= Version(row.since):
            continue
        if before is None and row.unseen:
            continue
        for path, node in _sections(values, row.section.split(".") if row.section else []):
            if any(node.get(key) != value for key, value in (row.where or {}).items()):
                continue
            where = f"{path}.{row.key}" if path else row.key
            try:
                done = row.change(node, row.key)
            except ValueError as error:
                notes.append(Note(where, str(error), f"since {row.since}: {row.why}", refused=True))
            else:
                notes += [Note(where, done, f"since {row.since}: {row.why}")] if done else []
    return notes


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion as error:
        raise ConfigError("a version of mtl is three numbers", found=text[:50], fix="--from 0.1.0") from error


def _sections(node: Any, parts: list[str], path: str = "") -> Iterator[tuple[str, Node]]:
    """Sections that a pattern means, with their paths."""
    if not parts:
        if isinstance(node, MutableMapping):
            yield path, node
        return
    head, *rest = parts
    if isinstance(node, list):
        items = [(str(place), item) for place, item in enumerate(node)] if head == "*" else []
    elif isinstance(node, Mapping):
        items = [(key, value) for key, value in node.items() if head in ("*", key)]
    else:
        items = []
    for key, value in items:
        yield from _sections(value, rest, f"{path}.{key}" if path else str(key))
