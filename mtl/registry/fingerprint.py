"""The fingerprint of a run: a hash of everything that the package stage's whole ancestry is made of.

Code and data dependencies by content, commands, params and requirements.lock; no time, no machine, no path. Two runs
with one fingerprint would make the same version, so a registered fingerprint means that there is nothing to do.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mtl.config import read_params
from mtl.config.workers import settled
from mtl.errors import ConfigError
from mtl.storage.digest import DigestCache, file_sha256
from mtl.storage.walk import File, walk

GOAL = "package"


def read_stages(root: Path) -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml."""
    stages: dict[str, dict[str, Any]] = read_params(root / "dvc.yaml")["stages"]
    return stages


def ancestry(stages: dict[str, dict[str, Any]], goal: str = GOAL) -> list[str]:
    """The stages that `goal` is made by, in an order in which they can run."""
    maker = {out: name for name, stage in stages.items() for out in outs(stage)}
    order: list[str] = []

    def visit(name: str) -> None:
        for dep in stages[name].get("deps", []):
            if dep in maker and maker[dep] not in order:
                visit(maker[dep])
        if name not in order:
            order.append(name)

    visit(goal)
    return order


def outs(stage: dict[str, Any]) -> list[str]:
    """Paths of all that a stage writes."""
    found: list[str] = []
    for kind in ("outs", "metrics", "plots"):
        found += [next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage.get(kind, [])]
    return found


def fingerprint(root: Path, params: dict[str, Any]) -> str:
    """SHA-256 over the ancestry of the package stage, in a checkout with these params."""
    stages, params = read_stages(root), dict(settled(params))
    names = ancestry(stages)
    made = {out for name in names for out in outs(stages[name])}
    digest = hashlib.sha256()
    cache = DigestCache(Path(os.environ.get("MTL_HOME", root / ".mtl")) / "digests.sqlite")
    for name in names:
        stage = stages[name]
        chosen = {key: _lookup(params, key) for key in stage.get("params", [])}
        head = {"stage": name, "cmd": stage["cmd"], "params": chosen}
        digest.update(json.dumps(head, sort_keys=True, default=str).encode())
        for dep in sorted(set(stage.get("deps", [])) - made):
            digest.update(dep.encode())
            for piece in content_pieces(root / dep, cache):
                digest.update(piece)
    digest.update(content_digest(root / "requirements.lock"))
    cache.close()
    return digest.hexdigest()


def _lookup(params: dict[str, Any], key: str) -> Any:
    node: Any = params
    for part in key.split("."):
        node = node[part]
    return node


def content_digest(path: Path) -> bytes:
    """SHA-256 of a file; of a folder, its files' names and digests in order."""
    return b"".join(content_pieces(path, None))


def content_pieces(path: Path, cache: DigestCache | None) -> Iterator[bytes]:
    """The same, piece by piece: a folder may have millions of files. Unchanged files are read once with a cache."""
    if not path.is_dir():
        yield _file_digest(path)
        return
    files = (file for file in walk(path) if "__pycache__" not in file[0].split("/"))
    if cache is None:
        yield from (_content({name: file_sha256(path / name)}) for name, _ in _usable(path, files))
    else:

        def read(name: str) -> bytes:
            return (path / name).read_bytes()

        told = cache.parts("names and digests", str(path.resolve()), _usable(path, files), read, _content)
        yield from (part.value for part in told)


def _content(digests: Mapping[str, str]) -> bytes:
    return b"".join(name.encode() + bytes.fromhex(digest) for name, digest in digests.items())


def _file_digest(path: Path) -> bytes:
    try:
        return bytes.fromhex(file_sha256(path))
    except FileNotFoundError as error:
        raise ConfigError(
            f"dvc.yaml depends on {path}, which is missing", fix="git checkout it, or mend dvc.yaml"
        ) from error


def _usable(folder: Path, files: Iterable[File]) -> Iterator[File]:
    for name, version in files:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"a file's name in {folder} is not UTF-8: neither DVC nor the registry can keep it",
                found=os.fsencode(name).decode(errors="backslashreplace"),
                fix="rename it (convmv does so for whole folders)",
            ) from error
        yield name, version
