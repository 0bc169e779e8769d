"""YAML that somebody else wrote, looked at before it is loaded: aliases of aliases make gigabytes of a few lines. And what is
wrong with it, in words that say what to do.
"""

from __future__ import annotations

import re
from typing import Any

MOST = 1_000_000
"""Values of a document whose aliases are written out."""
DEEPEST = 200
"""Lists and tables in one another; each of a loader's levels takes a piece of the stack."""


_MERGE = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.M)
_PLACE = re.compile(r' in "<[^>]*>", line (\d+), column (\d+)')


def explain_yaml(text: str, error: Exception) -> tuple[str, str]:
    """What a YAML reader found in a text, and how to mend it; empty, where that is not known."""
    found = _PLACE.sub(r" in line \1, column \2", " ".join(str(error).split())).split(" To suppress")[0]
    if mark := _MERGE.search(text):
        line = text.count("\n", 0, mark.start()) + 1
        return (
            f"{mark[1]} in line {line}: a merge that was not finished",
            "keep one side, and delete the three marks of git",
        )
    if tab := re.search(r"^ *\t", text, re.M):
        return f"a tab in line {text.count(chr(10), 0, tab.end()) + 1}", "indent with spaces: YAML takes no tabs"
    if "duplicate key" in found:
        return found[found.index("found duplicate") + 6 :], "delete one of the two, or unite what stands below them"
    if "unexpected ':'" in found:
        return found, "quote texts with a colon, as in {path: 's3://bucket/photos'}"
    return found, "mend it there: brackets and quotes are closed, keys of one section are indented alike"


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
