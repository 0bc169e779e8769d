"""The pipeline's parts as a CycloneDX document, from requirements.lock: `python -m tools.sbom FILE`."""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.M)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
KNOWLEDGE = "https://pypi.org/pypi/pip/json"
"""Where pip-audit asks; it says of pip what is known as well."""


def document(lock: str) -> dict[str, Any]:
    """Every package of a lock file with its version and the hashes of its files."""
    found = list(_PINNED.finditer(lock))
    ends = [*(one.start() for one in found[1:]), len(lock)]
    parts = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name.lower()}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower()}@{version}",
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in _HASH.findall(lock[one.start() : end])],
        }
        for one, end in zip(found, ends, strict=True)
        for name, version in [one.groups()]
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": parts}


def _in_reach() -> bool:
    try:
        with urllib.request.urlopen(KNOWLEDGE, timeout=10) as answer:
            return "vulnerabilities" in json.load(answer)
    except (OSError, ValueError):
        return False


def main() -> int:
    """Write the document; with `--reach`: whether what is known of vulnerabilities can be asked, as the exit code."""
    if sys.argv[1] == "--reach":
        return 0 if _in_reach() else 1
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document((ROOT / "requirements.lock").read_text(encoding="utf-8")), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
