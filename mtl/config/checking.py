"""Plain values as a typed tree: the whole of params.yaml, or the sections that a stage reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from mtl.config.credentials import problems as credential_problems
from mtl.config.explain import explain
from mtl.config.reading import read_params
from mtl.config.section import Section
from mtl.config.workers import settled
from mtl.errors import ConfigError

Tree = TypeVar("Tree", bound=Section)


def check(tree: type[Tree], values: Mapping[str, Any], *, where: str = "params.yaml") -> Tree:
    """Plain values as a typed tree.

    Raises:
        ConfigError: names every problem with its path, the value found and what is allowed; credentials are none.
    """
    problems, cause = credential_problems(values), None
    try:
        checked = tree.model_validate(_tuples(settled(values)))
        if not problems:
            return checked
    except ValidationError as error:
        problems, cause = problems + [explain(problem, tree) for problem in error.errors()], error
    plural = "s" if len(problems) > 1 else ""
    raise ConfigError(
        f"{where} has {len(problems)} problem{plural}:\n" + "\n".join(f"  - {p}" for p in problems),
        fix="`mtl list` names what can be chosen; docs/params.md describes every key",
    ) from cause


def pick(tree: type[Tree], values: Mapping[str, Any], *, where: str = "params.yaml") -> Tree:
    """As `check`, of those sections that the tree has: what is wrong in the others, whoever reads them says."""
    chosen = {name: value for name, value in settled(values).items() if name in tree.model_fields}
    return check(tree, chosen, where=where)


def read(tree: type[Tree], path: Path = Path("params.yaml")) -> Tree:
    """The sections of params.yaml that a stage reads.

    Raises:
        ConfigError: as `check`; or the file is missing or is not YAML.
    """
    return pick(tree, read_params(path), where=str(path))


def _tuples(value: Any) -> Any:
    """Lists become tuples, as the frozen tree has them."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value
