"""The notes of a release: what CHANGELOG.md says of it. `python -m tools.release v0.2.0 dist/notes.md`"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes(tag: str, version: str, changelog: str) -> str:
    """What stands below the version's heading.

    Raises:
        SystemExit: the tag is not pyproject.toml's version, or nothing is said of it, or it is said to be unreleased.
    """
    if tag != f"v{version}":
        sys.exit(
            f"error: the tag is not the version\n  found: {tag}, and {version} in pyproject.toml\n  fix:   tag v{version}"
        )
    found = re.search(rf"^## {re.escape(version)}([^\n]*)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    if found is None or not found[2].strip():
        sys.exit(f"error: CHANGELOG.md says nothing of {version}\n  fix:   add it below `## {version}`")
    if "unreleased" in found[1]:
        sys.exit(f"error: CHANGELOG.md says that {version} is unreleased\n  fix:   put the date there")
    return found[2].strip() + "\n"


if __name__ == "__main__":
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = notes(sys.argv[1], version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(text, encoding="utf-8")
