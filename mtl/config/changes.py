"""How a key of params.yaml changes: in plain mappings, and in ruamel's, whose order and comments a reader sees."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

Node = MutableMapping[str, Any]


def removed(node: Node, key: str) -> str | None:
    """The key does nothing any more."""
    return f"removed, it was {_shown(_take(node, key))}" if key in node else None


def renamed(new: str) -> Callable[[Node, str], str | None]:
    """The key has another name in the same section, and keeps its place and its comment."""

    def change(node: Node, key: str) -> str | None:
        if key not in node:
            return None
        if new in node:
            raise ValueError(f"both {key} and {new}, its name now, are there: keep one")
        place, comments = list(node).index(key), _comments(node)
        comment = comments.pop(key, None)
        _put(node, place, new, node.pop(key))
        if comment is not None:
            comments[new] = comment
        return f"is {new} now"

    return change


def moved(new: str) -> Callable[[Node, str], str | None]:
    """The key stands in another section, which is made if there is none. Both names are paths below the row's section."""

    def change(node: Node, key: str) -> str | None:
        *sections, last = key.split(".")
        source: Any = node
        for part in sections:
            source = source.get(part) if isinstance(source, MutableMapping) else None
        if not isinstance(source, MutableMapping) or last not in source:
            return None
        *others, name = new.split(".")
        target: Any = node
        for part in others:
            target = target.setdefault(part, {})
        if name in target:
            raise ValueError(f"both {key} and {new}, its name now, are there: keep one")
        target[name] = _take(source, last)
        return f"is {new} now"

    return change


def keeps(before: object) -> Callable[[Node, str], str | None]:
    """The default is another one: what it was is written down."""

    def change(node: Node, key: str) -> str | None:
        if key in node:
            return None
        _put(node, max(len(node) - 1, 0), key, before)  # behind the last one there may be an empty line
        return f"{_shown(before)}, as it was when nothing was said"

    return change


def _put(node: Node, place: int, key: str, value: Any) -> None:
    """ruamel's mappings have an order that a reader sees."""
    insert = getattr(node, "insert", None)
    if insert is None:
        node[key] = value
    else:
        insert(place, key, value)


def _take(node: Node, key: str) -> Any:
    """Remove a key. Its comment goes with it; what ruamel has behind that (an empty line, what is said of the next section) stays,
    behind the key before.
    """
    keys, comments = list(node), _comments(node)
    place, comment, value = keys.index(key), comments.pop(key, None), node.pop(key)
    if comment is None or comment[2] is None or not place:
        return value
    _, _, rest = comment[2].value.partition("\n")
    before = comments.get(keys[place - 1])
    if not rest:
        return value
    if before is not None and before[2] is not None:
        before[2].value = before[2].value.rstrip("\n") + "\n" + rest
    else:
        comment[2].value = "\n" + rest
        comments[keys[place - 1]] = comment
    return value


def _comments(node: Node) -> dict[str, Any]:
    """ruamel's comments of a section's keys; of a plain mapping, none."""
    found: dict[str, Any] = node.ca.items if hasattr(node, "ca") else {}  # pyright: ignore[reportAttributeAccessIssue]
    return found


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
