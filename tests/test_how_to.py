"""The how-tos are followed to the letter: files written, edits made, the check run, in a copy of the library."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BLOCK = re.compile(r"^```(python|edit) (\S+)\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "how-to").glob("*.md")), ids=lambda p: p.stem)
def test_the_page_works(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mtl", tmp_path / "mtl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    checks: list[str] = []
    for kind, name, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        path = tmp_path / name
        if kind == "edit":
            before, after = text.rstrip("\n").split("\n---\n")
            source = path.read_text(encoding="utf-8")
            assert source.count(before) == 1, f"{name}: {before!r}"
            path.write_text(source.replace(before, after), encoding="utf-8")
        elif name == "check":
            checks.append(text)
        else:
            assert not path.exists()
            path.write_text(text, encoding="utf-8")
    assert len(checks) == 1
    done = subprocess.run([sys.executable, "-c", checks[0]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
