"""The how-tos are followed to the letter: files written, edits made, the check run, a model trained, in a copy of the library."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, TINY

PAGES = ROOT / "docs" / "how-to"
BLOCK = re.compile(r"^```(python|edit|yaml) (\S+)\n(.*?)^```$", re.M | re.S)
OF_METHODS = ("sharing", "weighting")
OF_COMMANDS = {
    "errors": "tests/errors/test_wrong_turns.py",
    "pages": "tests/pages/test_pages.py",
    "project": "tests/flows/test_project.py",
    "terminal": "tests/flows/test_terminal.py",
}
"""Pages that change no file of the library → what follows them; each command in them is tried by tests/infra/test_commands.py."""
TRAIN = """
import json, sys
from pathlib import Path
from mtl.config.params import load
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints
from mtl.train.process_group import ProcessGroup
from mtl.train.loop import run
from mtl.train.training import Training

training = Training(load(Path("params.yaml"), json.loads(sys.argv[2])), Path(sys.argv[1]), ProcessGroup())
objective = training.objective
given = []
factors = objective.weighting.factors
objective.weighting.factors = lambda losses, present, gramian=None: (
    given.append(None if gramian is None else list(gramian.shape)), factors(losses, present, gramian))[1]
if objective.aggregator is not None:
    coefficients = objective.aggregator.coefficients
    objective.aggregator.coefficients = lambda part, own: (
        given.append(list(part.shape)), coefficients(part, own))[1]
progress = run(training, Checkpoints(Store("checkpoints"), 1, Seal()), report=lambda row: None)
print(json.dumps({"epochs": len(progress.history), "method": type(training.method).__name__, "given": given}))
"""
"""A whole training of the copy's own code: how long it was, in which way gradients came, and what the methods were given."""


def followed(page: Path, copy: Path) -> tuple[list[str], dict[str, Any]]:
    """The library with a page's files and edits in it: the page's checks, and the settings that it chooses."""
    shutil.copytree(ROOT / "mtl", copy / "mtl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "params.yaml", copy)
    checks: list[str] = []
    chosen: dict[str, Any] = {}
    for kind, name, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        path = copy / name
        if kind == "edit":
            edit(path, *text.rstrip("\n").split("\n---\n"))
        elif kind == "yaml":
            chosen = YAML(typ="safe").load(text)
        elif name == "check":
            checks.append(text)
        else:
            assert not path.exists()
            path.write_text(text, encoding="utf-8")
    return checks, chosen


def edit(path: Path, before: str, after: str) -> None:
    """Change a place that stands once in a file."""
    source = path.read_text(encoding="utf-8")
    assert source.count(before) == 1, f"{path.name}: {before!r}"
    path.write_text(source.replace(before, after), encoding="utf-8")


def trained(copy: Path, prepared: Path, chosen: dict[str, Any], *overrides: str) -> subprocess.CompletedProcess[str]:
    """The end of a whole training of the copy with a page's settings."""
    sets = [f"{section}.{key}={json.dumps(value)}" for section, keys in chosen.items() for key, value in keys.items()]
    words = [
        sys.executable,
        "-c",
        TRAIN,
        str(prepared),
        json.dumps([*TINY, "train.num_workers=1", "train.epochs=2", *sets, *overrides]),
    ]
    return subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False)


def test_pages_without_a_check_are_tested_elsewhere() -> None:
    without = {page.stem for page in PAGES.glob("*.md") if "```python check" not in page.read_text(encoding="utf-8")}
    assert without == OF_COMMANDS.keys()
    assert all((ROOT / name).exists() for name in OF_COMMANDS.values())


@pytest.mark.parametrize(
    "page", sorted(page for page in PAGES.glob("*.md") if page.stem not in OF_COMMANDS), ids=lambda p: p.stem
)
def test_the_page_works(page: Path, tmp_path: Path) -> None:
    checks, chosen = followed(page, tmp_path)
    assert bool(chosen) == (page.stem in OF_METHODS)
    for check in checks:
        done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("needs", ["", "needs_gramian"])
def test_a_new_weighting_gets_what_its_section_asks_for(prepared: Path, tmp_path: Path, needs: str) -> None:
    _, chosen = followed(PAGES / "weighting.md", tmp_path)
    if needs:
        edit(tmp_path / "mtl/config/objective.py", "    memory: Fraction", f"    {needs} = True\n    memory: Fraction")
    done = trained(tmp_path, prepared, chosen)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["epochs"] == 2
    assert found["method"] == ("FeatureGradients" if needs else "SumGradients")
    assert len(found["given"]) >= 2
    assert all((shape is not None) == bool(needs) for shape in found["given"])


@pytest.mark.slow
def test_a_followers_sharing_has_its_gradients_aggregated(prepared: Path, tmp_path: Path) -> None:
    _, chosen = followed(PAGES / "sharing.md", tmp_path)
    done = trained(tmp_path, prepared, chosen)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["epochs"], found["method"]) == (2, "FeatureGradients")
    assert [shape for shape in found["given"] if shape], "the aggregator saw nothing"
    edit(
        tmp_path / "mtl/config/model.py",
        '    type: Literal["adapters"]\n',
        '    type: Literal["adapters"]\n    cut = False\n',
    )
    refused = trained(tmp_path, prepared, chosen)
    assert refused.returncode != 0
    assert "adapters parts the tasks nowhere" in refused.stderr
    there = trained(tmp_path, prepared, chosen, "objective.level=parameters")
    assert there.returncode == 0, there.stderr
    found = json.loads(there.stdout.splitlines()[-1])
    assert found["method"] == "ParameterGradients"
    assert [shape for shape in found["given"] if shape], "the aggregator saw nothing"
