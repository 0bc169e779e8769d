"""dvc.yaml: each stage's deps are exactly its code's import closure and its inputs."""

from __future__ import annotations

import pytest

from mtl.config.params import Config
from mtl.fingerprint import ancestry, outs, read_stages
from mtl.package.requirements import REQUIREMENTS
from tests.closure import LOADER, ROOT, distributions, needed

STAGES = ("fetch", "prepare", "train", "evaluate", "package")
SECTIONS = {
    "fetch": {"data"},
    "prepare": {"data", "train", "cluster"},  # the last two: where, and with how many threads
    "train": {"tasks", "model", "objective", "augment", "train", "evaluate", "cluster"},
    "evaluate": {"tasks", "model", "train", "evaluate"},
    "package": {"tasks", "model", "train", "evaluate"},
}
"""What each reads of params.yaml, beside the seed."""


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
