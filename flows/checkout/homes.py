"""Who works in a checkout: the homes that have, and who holds a lock now."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

from mtl.registry.actor import actor
from mtl.storage.dvc_settings import dvc_folder


def shared_folder(root: Path) -> Path:
    """A checkout's folder for what all homes that work in it must know; git ignores it."""
    return dvc_folder(root) / "tmp" / "mtl"


def note_home(root: Path, home: Path) -> None:
    """Remember that a home works in a checkout: its versions may need what the checkout's cache has."""
    if home in homes(root):
        return
    path = shared_folder(root) / "homes"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(json.dumps(str(home)) + "\n")


def homes(root: Path) -> list[Path]:
    """The homes that have worked in a checkout and are still there; its own one, where that is there, among them."""
    path = shared_folder(root) / "homes"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    noted = [root / ".mtl", *(Path(json.loads(line)) for line in lines if line.strip())]
    return [home for home in dict.fromkeys(noted) if home.is_dir()]


def sign_lock(lock: Path, home: Path) -> None:
    """Say beside a lock that is held who holds it."""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    holder = {"who": actor(), "process": os.getpid(), "since": since, "home": str(home)}
    lock.with_suffix(".holder").write_text(json.dumps(holder), encoding="utf-8")


def holder_of(lock: Path) -> str:
    """Who holds a lock, in words."""
    try:
        found = json.loads(lock.with_suffix(".holder").read_text(encoding="utf-8"))
        return f"{found['who']}, process {found['process']}, since {found['since']}, MTL_HOME={found['home']}"
    except (OSError, ValueError, KeyError):
        return f"{lock} is held"
