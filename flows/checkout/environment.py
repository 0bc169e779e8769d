"""Whether the packages that are installed are those that requirements.lock names: a version's lineage has the lock, and must not say
more than was there.
"""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ABSENT = "absent"
MOST_SAID = 3


def other_packages(root: Path) -> dict[str, str]:
    """Package → the version that is installed, where requirements.lock names another one for this machine."""
    there = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()}
    found: dict[str, str] = {}
    for line in re.findall(
        r"^[A-Za-z0-9][^\\#\n]*==[^\\#\n]*", (root / "requirements.lock").read_text(encoding="utf-8"), re.M
    ):
        wanted = Requirement(line.strip())
        version = there.get(canonicalize_name(wanted.name), ABSENT)
        if (wanted.marker is None or wanted.marker.evaluate()) and not _is(version, wanted):
            found[wanted.name] = version
    return found


def _is(version: str, wanted: Requirement) -> bool:
    return version != ABSENT and wanted.specifier.contains(version, prereleases=True)


def lines(found: dict[str, str]) -> list[str]:
    """What a person is told of it."""
    if not found:
        return []
    shown = ", ".join(f"{name} {version}" for name, version in list(found.items())[:MOST_SAID])
    more = f" and {len(found) - MOST_SAID} more" if len(found) > MOST_SAID else ""
    return [
        f"installed are other packages than requirements.lock names: {shown}{more} (make setup; it is kept with the version)"
    ]
