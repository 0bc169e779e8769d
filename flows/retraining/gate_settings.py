"""The gate's settings are the committed ones; others need a reason, which stands in the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.checkout.git import git, git_says
from mtl.errors import ConfigError
from mtl.registry.mlflow_params import flatten

NAMED = 5
Changes = dict[str, list[str | None]]
"""Key → [committed, used]; None: absent."""


def gate_changes(root: Path, params: dict[str, object], *, override: bool, why: str) -> Changes:
    """The gate's settings that are others than in the committed params.yaml, by --set or by an edit.

    Args:
        params: those that are used.
        override: its user wants them so.
        why: and says why.

    Raises:
        GitError: git cannot say what is committed.
        ConfigError: there are some, without `override` and a reason.
    """
    base = _committed(root)
    committed, used = _asked(base, params), _asked(params, base)
    keys = sorted(key for key in committed.keys() | used.keys() if committed.get(key) != used.get(key))
    changes: Changes = {key: [committed.get(key), used.get(key)] for key in keys}
    if changes and not (override and why.strip()):
        more = f"; and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        raise ConfigError(
            "the gate's settings are not the committed ones: they decide on promotion",
            found="; ".join(line(key, values) for key, values in list(changes.items())[:NAMED]) + more,
            fix='commit params.yaml; or say --override --why "…", which stands in the history',
        )
    return changes


def line(key: str, values: list[str | None]) -> str:
    """One change in words."""
    before, after = ("absent" if value is None else value for value in values)
    return f"{key} {before} → {after}"


def _asked(params: dict[str, Any], others: dict[str, Any]) -> dict[str, str]:
    """What decides on promotion: the gate's section, and what a task that both have must reach. (A task that the champion has
    and its challenger lacks is the gate's own matter.)
    """
    tasks, known = params.get("tasks") or {}, others.get("tasks") or {}
    floors = {name: task.get("floor") for name, task in tasks.items() if name in known and isinstance(task, dict)}
    asked = {"gate": params.get("gate"), "tasks": {name: {"floor": value} for name, value in floors.items()}}
    return dict(flatten({key: value for key, value in asked.items() if value}))


def _committed(root: Path) -> dict[str, object]:
    """params.yaml as HEAD has it; nothing, if it has none: then nothing is committed."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not git_says(root, "cat-file", "-e", "HEAD:./params.yaml"):
        return {}
    try:
        found = YAML(typ="safe").load(git(root, "cat-file", "blob", "HEAD:./params.yaml").decode())
    except (YAMLError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
