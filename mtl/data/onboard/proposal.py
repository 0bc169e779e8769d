"""What `mtl data init` proposes, and how it comes into params.yaml."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mtl.config import read_params
from mtl.config.params import parse
from mtl.data.formats.base import Problem
from mtl.errors import gist

MANY = 10
"""Files of one folder and kind above which a pattern names them."""
SHARD_SIZE = 32
"""What a new image costs is one shard: small enough for a weekly retraining, large enough for a bucket."""


@dataclass
class Proposal:
    """What was recognised: the `data.source` and `tasks` sections, and what a person may want to know.

    Attributes:
        size: height and width of the images, in pixels.
        changes: section → its keys that change; the others stay as they are.
    """

    format: str
    source: dict[str, Any]
    tasks: dict[str, Any]
    size: int
    bad_fraction: float
    changes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    facts: list[str] = field(default_factory=list[str])

    @property
    def sections(self) -> dict[str, Any]:
        """`data` and `tasks` as params.yaml has them."""
        operations = [
            {"type": "decode", "colour": "rgb"},
            {"type": "orient"},
            {"type": "resize", "height": self.size, "width": self.size},
            {"type": "standardize"},
        ]
        data = {
            "source": self.source,
            "operations": operations,
            "shard_size": SHARD_SIZE,
            "max_bad_fraction": self.bad_fraction,
        }
        return {"data": data, "tasks": self.tasks}

    def within(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """All of params.yaml with it."""
        changed = {name: {**(params.get(name) or {}), **keys} for name, keys in self.changes.items()}
        return {**params, **self.sections, **changed}


def grouped(problems: Iterable[Problem]) -> list[str]:
    """The three most frequent kinds of problems, how often each is there, and what was found where it was seen first."""
    reasons: dict[str, list[str]] = {}
    for problem in problems:
        reasons.setdefault(gist(problem.reason), []).append(problem.reason)
    frequent = sorted(reasons.items(), key=lambda kind: -len(kind[1]))[:3]
    return [f"{len(every)} × {kind}{_detail(every[0])}" for kind, every in frequent]


def _detail(reason: str) -> str:
    found = re.search(r";\s*found:\s*([^;]+)", reason)
    return f" ({found.group(1).strip()})" if found else ""


def patterns(names: Iterable[str], every: Iterable[str]) -> list[str]:
    """Files that were looked at and are not read, as `ignore` of a set has them: a folder that has no others, or many of one folder
    and kind, by one pattern.

    Args:
        every: all files that are there.
    """
    unread = {*names}
    others: set[str] = set()
    kinds: set[tuple[str, str]] = set()
    for name in every:
        if name not in unread:
            others.update(_above(name))
            kinds.add(_kind(name))
    groups: dict[tuple[str, str], list[str]] = {}
    for name in sorted(unread):
        whole = next((folder for folder in reversed(_above(name)) if folder not in others), None)
        groups.setdefault((whole, "") if whole else _kind(name), []).append(name)
    found: list[str] = []
    for (folder, suffix), some in groups.items():
        where = "" if folder == "." else f"/{_escaped(folder)}"
        if len(some) > MANY and not suffix and folder != "." and folder not in others:
            found.append(f"{where}/")
        elif len(some) > MANY and suffix and (folder, suffix) not in kinds:
            found.append(f"{where}/*{_escaped(suffix)}")
        else:
            found += [f"/{_escaped(name)}" for name in some]
    return found


def _above(name: str) -> list[str]:
    """The folders that a file lies in, the innermost first."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _kind(name: str) -> tuple[str, str]:
    """The folder and the extension."""
    path = PurePosixPath(name)
    return path.parent.as_posix(), path.suffix


def _escaped(name: str) -> str:
    """Without what .gitignore takes for more than a letter."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", name)


def sections_as_yaml(proposal: Proposal) -> str:
    """The sections, and those keys of others that change, as text."""
    return _as_yaml({**proposal.sections, **proposal.changes})


def _as_yaml(sections: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = None  # pyright: ignore[reportAttributeAccessIssue]
    yaml.dump(_quoted(sections), text)
    return text.getvalue()


def _quoted(value: object) -> object:
    """With quotes around texts with a colon: DVC's YAML reader wants them."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and ":" in value else value


def write_sections(path: Path, proposal: Proposal, model: str = "") -> bool:
    """Put them in the place of those in a params file, whose comments stay elsewhere.

    Args:
        model: the registered model's name from now on; as it was if not said.

    Returns:
        Whether a task that was there before is gone: a champion that has it is not replaced by a model without it.

    Raises:
        ConfigError: the whole would not be valid; nothing is written.
    """
    from ruamel.yaml import YAML

    before = read_params(path)
    named = {"registry": {**proposal.changes.get("registry", {}), "model": model}} if model else {}
    proposal = replace(proposal, changes={**proposal.changes, **named})
    parse(proposal.within(before))
    yaml = YAML()
    yaml.preserve_quotes = True  # pyright: ignore[reportAttributeAccessIssue]
    values = yaml.load(path.read_text(encoding="utf-8"))
    # Through text, so that the new sections are laid out as a person would.
    values.update(yaml.load(_as_yaml(proposal.sections)))
    for name, keys in yaml.load(_as_yaml(proposal.changes)).items():
        values.setdefault(name, {}).update(keys)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
    return not {*before.get("tasks", {})} <= {*proposal.tasks}
