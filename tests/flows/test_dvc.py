"""dvc.yaml: each stage's deps are exactly its code's import closure and its inputs, and what a change costs follows from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mtl.config import read_params
from mtl.config.params import Config
from mtl.package.requirements import REQUIREMENTS
from mtl.registry.fingerprint import ancestry, fingerprint, outs, read_stages
from mtl.train import content
from tools.closure import LOADER, ROOT, closure, distributions, needed

STAGES = ("fetch", "prepare", "train", "evaluate", "package")
SECTIONS = {
    "fetch": {"data"},
    "prepare": {"data", "train", "cluster"},  # the last two: where, and with how many threads
    "train": {"tasks", "model", "objective", "augment", "train", "evaluate", "cluster"},
    "evaluate": {"tasks", "model", "train", "evaluate", "cluster"},
    "package": {"tasks", "model", "train", "evaluate"},
}
"""What each reads of params.yaml, beside the seed."""
FREE = {
    "a comment in the gate's settings": ("mtl/config/gate.py", "class GateConfig", "# why\nclass GateConfig"),
    "a word of the report": ("mtl/reports/page.html.j2", "<h1>", "<h1 hidden>"),
    "a CSS rule of every page": ("mtl/reports/page.css", "line-height:1.25", "line-height:1.3"),
    "a bump of ruff": ("requirements-dev.lock", "\nruff==", "\nruff==1"),
}
"""Changes that leave `mtl retrain` unchanged: file, what stands there, what takes its place."""
PAID = {
    "a comment in the objective's settings": (
        "mtl/config/objective.py",
        "class ObjectiveConfig",
        "# \nclass ObjectiveConfig",
    ),
    "a bump of torch": ("requirements.lock", "\ntorch==", "\ntorch==1"),
}


def test_the_graph_is_the_declared_chain() -> None:
    assert ancestry(read_stages(ROOT)) == list(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_deps_cover_the_import_closure(stage: str) -> None:
    declared = read_stages(ROOT)[stage]["deps"]
    covered: set[str] = set()
    for dep in declared:
        path = ROOT / dep
        if dep.startswith("mtl/"):
            assert path.exists(), f"{dep} is declared but not there"
            covered |= {p.relative_to(ROOT).as_posix() for p in path.rglob("*.py")} if path.is_dir() else {dep}
    wanted = needed(stage)
    assert wanted - covered == set(), "imported but not declared: `make deps`"
    assert covered - wanted == set(), "declared but not imported: `make deps`"
    assert "requirements.lock" in declared


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_sections_that_it_reads(stage: str) -> None:
    """What decides, schedules, watches and cleans up is of the flow alone, and so are the formats of data once they are shards."""
    modules = {f"mtl/config/{name}.py" for name in (*Config.model_fields, "params", "choices")}
    assert needed(stage) & modules == {f"mtl/config/{name}.py" for name in SECTIONS[stage]}
    assert any(file.startswith("mtl/config/files/") for file in needed(stage)) == ("data" in SECTIONS[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_short_module_with_outs(stage: str) -> None:
    source = (ROOT / "mtl" / "stages" / f"{stage}.py").read_text().splitlines()
    assert len(source) <= 40
    assert outs(read_stages(ROOT)[stage])
    assert read_stages(ROOT)[stage]["params"]


def test_a_package_requires_what_its_loader_imports() -> None:
    assert list(REQUIREMENTS) == distributions(LOADER), "`make deps`"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fingerprint is taken of."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("mtl", "data"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy2(ROOT / name, root)
    (root / "manifest.json").write_text("{}")
    return root


@pytest.mark.parametrize("change", [*FREE, *PAID])
def test_what_a_change_costs(change: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprint, by which a run does nothing, and the key, by which a training goes on, agree."""
    name, before, after = (FREE | PAID)[change]
    monkeypatch.setattr(content, "ROOT", copy)
    monkeypatch.setenv("MTL_HOME", str(copy / "home"))
    (copy / "home").mkdir(exist_ok=True)

    def digests() -> tuple[str, str]:
        return fingerprint(copy, read_params(copy / "params.yaml")), content.code_and_data(copy)

    found, text = digests(), (copy / name).read_text()
    assert text.count(before) == 1
    (copy / name).write_text(text.replace(before, after))
    changed = [one != other for one, other in zip(found, digests(), strict=True)]
    (copy / name).write_text(text)
    assert changed == [change in PAID] * 2


def test_a_trial_depends_on_training_and_comparison_code() -> None:
    """By which its key is made; settings are in it by value."""
    more = closure("mtl.compare.trial") - needed("train")
    assert all(file.startswith(("mtl/compare/", "mtl/config/")) for file in more)
