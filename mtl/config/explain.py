"""What is wrong with a setting, in a line that says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, get_args


def explain(problem: Any, root: type) -> str:
    """One line for one of pydantic's errors.

    Args:
        root: the section that the whole file is.
    """
    path = ".".join(str(part) for part in problem["loc"]) or "(the whole file)"
    kind, found = problem["type"], problem["input"]
    shown = repr(found) if not isinstance(found, dict) else "{…}"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), _siblings(problem["loc"], root), n=1)
        return f"{path}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    if kind == "missing":
        return f"{path}: this key is missing"
    if kind == "union_tag_not_found":
        return f"{path}: the key {problem['ctx']['discriminator']} is missing, which says what the others mean"
    if kind == "union_tag_invalid":
        expected = str(problem["ctx"]["expected_tags"])
        near = difflib.get_close_matches(str(problem["ctx"]["tag"]), expected.replace("'", "").split(", "), n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        return f"{path}: unknown type {problem['ctx']['tag']}; choose from {expected}{guess}"
    if kind == "value_error":
        return f"{path}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{path}: {problem['msg']}, found {shown}"


def _siblings(location: Sequence[Any], root: type) -> list[str]:
    """The keys allowed beside an unknown one, found by walking the tree of sections."""
    section: Any = root
    for part in location[:-1]:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = _unwrap(fields[part].annotation, str(part))
        else:  # a task's name, a list's index or a union's tag
            section = _unwrap(section, str(part))
    return list(getattr(section, "model_fields", {}))


def _unwrap(annotation: Any, tag: str) -> Any:
    """Step into a container or a tagged union."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return annotation
    members = get_args(annotation)
    for member in members:
        fields = getattr(member, "model_fields", {})
        if "type" in fields and tag in get_args(fields["type"].annotation):
            return member
    for member in members:
        if isinstance(member, type) and "type" not in getattr(member, "model_fields", {"type": 0}):
            return member  # the only section of an optional one, or of a table
    for member in members:
        if get_args(member):
            return _unwrap(member, tag) if _unwrap(member, tag) is not member else member
    return annotation
