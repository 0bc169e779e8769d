"""What a project is called among those that share a server: its deployments, tags and automations."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from pathlib import Path

from flows.settings import Settings
from mtl.config.params import Config
from mtl.errors import ConfigError
from mtl.storage.store import Store

VARIABLE = "MTL_PROJECT"
LONGEST = 60


def project_of(settings: Settings, config: Config, repository: str = "") -> str:
    """MTL_PROJECT; or a name that this home has chosen once, of the model and six random digits, and keeps when it moves (a
    copy of it chooses another); or, of a repository that every run clones, the model and six digits of its address.

    Raises:
        ConfigError: MTL_PROJECT is no name.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{LONGEST}}}", named):
            raise ConfigError(
                f"{VARIABLE} is no name", found=repr(named[:100]), fix="letters, digits, dots, hyphens and underscores"
            )
        return named
    if repository:
        return f"{config.registry.model}-{hashlib.sha256(repository.encode()).hexdigest()[:6]}"
    return _chosen(settings, config.registry.model)


def _chosen(settings: Settings, model: str) -> str:
    path = settings.home / "project"
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    before = known.get("home", "")
    if known and before != str(settings.home) and Path(before, "project").exists():
        known = {}  # this home is a copy of one that is still there
    if not known or before != str(settings.home):
        name = known.get("name") or f"{model}-{secrets.token_hex(3)}"
        known = {"name": name, "home": str(settings.home)}
        Store(str(settings.home)).put(path.name, json.dumps(known).encode())
    return known["name"]


def tags_of(project: str) -> list[str]:
    """Of its deployments and flow runs."""
    return ["mtl", f"mtl:{project}"]
