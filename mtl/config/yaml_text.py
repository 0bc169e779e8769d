"""YAML that somebody else wrote, looked at before it is loaded: aliases of aliases make gigabytes of a few lines."""

from __future__ import annotations

from typing import Any

MOST = 1_000_000
"""Values of a document whose aliases are written out."""
DEEPEST = 200
"""Lists and tables in one another; each of a loader's levels takes a piece of the stack."""


def refuse_bomb(text: str) -> None:
    """Nothing, of a document that can be loaded.

    Raises:
        ValueError: its aliases would make too much of it, or one holds itself, or it is too deep.
        YAMLError: it is no YAML.
    """
    if "&" not in text and len(text) < DEEPEST:
        return
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []
    total = 0
    events: Any = YAML(typ="safe").parse(text)
    for event in events:
        if isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} stands for nothing, or for what it is in")
            total += sizes[event.anchor]
        elif isinstance(event, NodeEvent):
            if isinstance(event, CollectionStartEvent):
                opened.append((event.anchor, total))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
            total += 1
        if total > MOST:
            raise ValueError(f"with its aliases written out it has more than {MOST} values")
        if len(opened) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists and tables stand in one another")
