"""Where MLflow's records are, and what is the same wherever that is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from mtl.registry.records.entities import ReadExperiment, ReadRun, ReadVersion

RUN_DATA = ("params", "tags")
"""Of a run, what is read."""


class NotPlain(Exception):
    """MLflow's own client is to answer."""


class Source(Protocol):
    """Where a registry's records are. What is found has the names of MLflow's own entities.

    Raises:
        NotPlain: in each.
    """

    def experiment(self, name: str) -> ReadExperiment | None:
        """An experiment; None: there surely is none."""

    def run(self, run: str) -> ReadRun:
        """A run, its params and tags."""
        ...

    def version(self, model: str, number: str) -> ReadVersion:
        """A version of a model."""
        ...

    def alias(self, model: str, alias: str) -> ReadVersion | None:
        """The version that an alias names; None: there surely is none."""

    def artifact(self, uri: str, path: str, folder: Path) -> Path:
        """A file or a folder of a run's artifacts, which are at `uri`, copied into a folder; where it is then."""
        ...


def pairs(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Keys and values of rows."""
    return {row["key"]: row.get("value", "") for row in rows}


def copied(uri: str, path: str, folder: Path) -> Path:
    """An artifact on this machine, copied.

    Raises:
        OSError: it is not there.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc or not Path(root := unquote(parts.path)).is_dir():
        raise NotPlain
    source, target = Path(root, path), folder / path
    if source.resolve() != Path(root).resolve() / path or any(found.is_symlink() for found in source.rglob("*")):
        raise NotPlain  # a link: MLflow says what it takes
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
    return target
